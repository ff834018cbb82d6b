"""A server that has lost the end of its log does not know any more what it acknowledged to executions that go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from broker_wf.broker.connection import Pipe
from broker_wf.broker.deliveries import Ended, Link
from broker_wf.broker.leased import Acknowledged
from broker_wf.broker.plans import EffectIds, commit_map, effect_map
from broker_wf.broker.script import Script
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId, WorkerId
from broker_wf.core.outcome import StateEdit, Written
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


def publish_more(rig: Rig, delivery: Delivery) -> None:
    assert rig.effects(delivery, [Written(event=Item(n=7))])[1] == ["ok"]


def count_more(rig: Rig, delivery: Delivery) -> None:
    assert rig.change(delivery, "two", 1).word == "ok"


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


@pytest.mark.parametrize("finish", [end, fail])
@pytest.mark.parametrize(
    ("first", "second"), [(publish, publish_more), (count, count_more), (publish, count_more), (count, publish_more)]
)
def test_what_was_lost_between_two_effects_is_noticed_though_the_second_is_there(
    rig: Rig,
    first: Callable[[Rig, Delivery], None],
    second: Callable[[Rig, Delivery], None],
    finish: Callable[[Rig, Delivery], Ended],
) -> None:
    """A failover between them: one master has done the first, the next one the second alone."""
    delivery, log = begun(rig)
    first(rig, delivery)
    rig.put_back(log)
    second(rig, delivery)
    assert finish(rig, delivery) is Ended.FORGOTTEN
    first(rig, delivery)
    assert finish(rig, delivery) is Ended.DONE


def test_a_held_edit_is_not_written_without_its_lock(rig: Rig) -> None:
    delivery, log = begun(rig)
    token = f"{delivery.fence}.t"
    plan = rig.plan(delivery, [StopEvent()], listed=False)
    edit = effect_map(
        StateEdit(token=token, place="held", sets={"k": b"1"}, removed=()), EffectIds(delivery), rig.program.codec
    )
    commit, ends = Link(plan, commit_map(plan, [edit], rig.program.codec)), rig.broker.deliveries.commit

    def ended() -> Ended:
        return rig.run(ends(commit, [edit], Acknowledged(), busy=False, sent=lambda: None))

    for _ in range(2):
        assert rig.run(rig.broker.state.lock(delivery, token, WorkerId("w1"))) is True
        rig.put_back(log)
        assert ended() is Ended.FORGOTTEN
    assert rig.run(rig.broker.state.lock(delivery, token, WorkerId("w1"))) is True
    assert ended() is Ended.DONE
    assert rig.run(rig.broker.state.get(RunId("r"), "k")).value == b"1"


@pytest.mark.parametrize("finish", [end, fail])
def test_an_attempt_that_has_lost_its_lock_is_made_again(rig: Rig, finish: Callable[[Rig, Delivery], Ended]) -> None:
    delivery, _ = begun(rig)
    rig.known(delivery)[0].lost("a token")
    assert finish(rig, delivery) is Ended.FORGOTTEN
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


@pytest.mark.parametrize("calls", [["stage", "stage", "commit"], ["stage", "stage"]])
def test_the_staged_parts_of_a_fan_out_are_asked_for_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    """They are lost before the last of these calls."""
    delivery, log = begun(rig)
    commit = rig.plan(delivery, [Item(n=n) for n in range(700)], listed=True)
    left, call_again = [*calls], Pipe.call_again

    def lost_on_the_way(pipe: Pipe, script: Script, values: Any, again: Any) -> Any:
        if left and script.name == left.pop(0) and not left:
            rig.put_back(log)
        return call_again(pipe, script, values, again)

    monkeypatch.setattr(Pipe, "call_again", lost_on_the_way)
    assert rig.commit(commit) is Ended.FORGOTTEN
    assert rig.commit(commit) is Ended.DONE
    # A part at a time: each claim moves the next one into the streams.
    assert sum(len(some) for some in iter(lambda: rig.claim("w1"), ())) == 700


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
