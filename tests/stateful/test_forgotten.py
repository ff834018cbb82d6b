"""A server that has lost the end of its log does not know any more what it acknowledged to executions that go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from broker_wf.broker.connection import Pipe
from broker_wf.broker.deliveries import Ended
from broker_wf.broker.script import Script
from broker_wf.core.delivery import Delivery
from broker_wf.core.outcome import Written
from broker_wf.events import StopEvent
from tests.mutants import mutated
from tests.stateful.flow import Done, Item
from tests.stateful.rig import Rig, Saved


def begun(rig: Rig) -> tuple[Delivery, list[Saved]]:
    """A lease, and what the server's log holds when it has just been given."""
    rig.submit("r")
    (delivery,) = rig.claim("w1")
    return delivery, rig.saved()


def publish(rig: Rig, delivery: Delivery) -> None:
    assert rig.effects(delivery, [Written(event=Done())])[1] == ["ok"]


def count(rig: Rig, delivery: Delivery) -> None:
    assert rig.change(delivery, "one", 1).word == "ok"


def end(rig: Rig, delivery: Delivery) -> Ended:
    return rig.commit(rig.plan(delivery, [StopEvent()], listed=False))


def fail(rig: Rig, delivery: Delivery) -> Ended:
    return rig.fail(delivery, 0)


@pytest.mark.parametrize("act", [publish, count])
@pytest.mark.parametrize("finish", [end, fail])
def test_an_attempt_whose_effects_the_server_has_lost_is_made_again(
    rig: Rig, act: Callable[[Rig, Delivery], None], finish: Callable[[Rig, Delivery], Ended]
) -> None:
    delivery, log = begun(rig)
    act(rig, delivery)
    rig.put_back(log)
    assert finish(rig, delivery) is Ended.FORGOTTEN
    assert rig.truth("r").live[delivery.id]["st"] == b"l", "nothing was written"
    act(rig, delivery)
    assert finish(rig, delivery) is Ended.DONE


def test_what_the_server_still_knows_ends_the_attempt(rig: Rig) -> None:
    delivery, _ = begun(rig)
    publish(rig, delivery)
    count(rig, delivery)
    rig.put_back(rig.saved())
    assert end(rig, delivery) is Ended.DONE


def test_what_was_lost_of_an_earlier_lease_is_nobody_s_loss(rig: Rig) -> None:
    """The successor finds it missing, and makes it."""
    former, log = begun(rig)
    publish(rig, former)
    rig.put_back(log)
    assert rig.run(rig.broker.deliveries.release([former])) == 1
    (successor,) = rig.claim("w2")
    assert end(rig, former) is Ended.FENCED
    assert end(rig, successor) is Ended.DONE


def test_the_staged_parts_of_a_fan_out_are_asked_for_too(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery, log = begun(rig)
    commit = rig.plan(delivery, [Item(n=n) for n in range(700)], listed=True)
    logs, call_again = [log], Pipe.call_again

    def lost_before_the_commit(pipe: Pipe, script: Script, values: Any, again: Any) -> Any:
        if script.name == "commit" and logs:
            rig.put_back(logs.pop())
        return call_again(pipe, script, values, again)

    monkeypatch.setattr(Pipe, "call_again", lost_before_the_commit)
    assert rig.commit(commit) is Ended.FORGOTTEN
    assert rig.commit(commit) is Ended.DONE
    assert len(rig.claim("w1")) == 700


def test_without_the_question_effects_are_missing(server_url: str, namespace: str) -> None:
    with mutated("nobody asks for what was lost"):
        rig = Rig(server_url, namespace)
        try:
            delivery, log = begun(rig)
            publish(rig, delivery)
            rig.put_back(log)
            assert end(rig, delivery) is Ended.DONE
        finally:
            rig.close()
