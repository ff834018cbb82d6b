"""The lock of a run, handed on within one worker while others wait: how often in a row, and to whom it is not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from broker_wf.broker.changes import Changed
from broker_wf.broker.context_state import ask_for_lock
from broker_wf.broker.packing import message_of
from broker_wf.broker.plans import Plan
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId, WorkerId
from broker_wf.errors import LeaseLostError
from broker_wf.events import StopEvent
from tests.stateful.acts import begun, hand_on, taken_over
from tests.stateful.flow import Item
from tests.stateful.rig import Rig

IN_A_ROW = 16


@pytest.fixture
def items(rig: Rig) -> tuple[Delivery, ...]:
    """Three deliveries that one worker holds."""
    hand_on(rig, begun(rig), Item(n=0), Item(n=1), Item(n=2), listed=True)
    return rig.claim("w1")


def token(delivery: Delivery) -> str:
    return f"t-{delivery.id}"


def ask(delivery: Delivery, worker: str) -> Mapping[str, str]:
    return ask_for_lock(delivery, token(delivery), WorkerId(worker))


def asked(rig: Rig, delivery: Delivery, worker: str) -> bool:
    return rig.run(rig.broker.state.lock(delivery, token(delivery), WorkerId(worker)))


def edited(rig: Rig, delivery: Delivery, name: str, after: Mapping[str, str] | None) -> Changed:
    plan: Plan = {"id": name, "token": token(delivery), "sets": [["k", name.encode()]], "dels": []}
    return rig.make(delivery, plan if after is None else {**plan, "after": after})


def granted(rig: Rig, worker: str) -> list[bytes]:
    raw = rig.raw.lrange(rig.key("inbox", worker), 0, -1)
    return [found["token"] for found in map(message_of, raw) if found.get("kind") == b"grant"]


def test_a_lock_that_others_wait_for_is_handed_on_so_often_in_a_row_and_not_more(
    rig: Rig, items: tuple[Delivery, ...]
) -> None:
    mine, also_mine, other = items
    assert asked(rig, mine, "w1") is True
    assert asked(rig, other, "w2") is False
    holders = [mine, also_mine] * IN_A_ROW
    for n in range(IN_A_ROW):
        assert edited(rig, holders[n], f"e{n}", ask(holders[n + 1], "w1")).word == "yours"
    assert granted(rig, "w2") == []
    last, behind = holders[IN_A_ROW], holders[IN_A_ROW + 1]
    assert edited(rig, last, "last", ask(behind, "w1")).word == "queued"
    assert granted(rig, "w2") == [token(other).encode()]
    assert edited(rig, other, "o", None).word == "ok"
    assert granted(rig, "w1") == [token(behind).encode()]
    assert asked(rig, behind, "w1") is True


def test_a_lock_that_nobody_else_waits_for_is_handed_on_for_ever(rig: Rig, items: tuple[Delivery, ...]) -> None:
    holders = list(items[:2]) * IN_A_ROW
    assert asked(rig, holders[0], "w1") is True
    for n in range(len(holders) - 1):
        assert edited(rig, holders[n], f"e{n}", ask(holders[n + 1], "w1")).word == "yours"


def test_a_lock_is_not_handed_on_to_a_lease_that_is_lost(rig: Rig, items: tuple[Delivery, ...]) -> None:
    mine, lost, other = items
    assert asked(rig, mine, "w1") is True
    assert asked(rig, other, "w2") is False
    taken_over(rig, lost)
    assert edited(rig, mine, "e", ask(lost, "w1")).word == "ok"
    assert granted(rig, "w2") == [token(other).encode()]
    with pytest.raises(LeaseLostError):
        edited(rig, lost, "l", None)


def test_an_edit_whose_reply_was_lost_is_seen_and_hands_nothing_on_again(rig: Rig, items: tuple[Delivery, ...]) -> None:
    mine, also_mine, other = items
    assert asked(rig, mine, "w1") is True
    assert edited(rig, mine, "e", ask(also_mine, "w1")).word == "yours"
    assert edited(rig, also_mine, "f", None).word == "ok"
    assert asked(rig, other, "w2") is True
    assert edited(rig, mine, "e", ask(also_mine, "w1")).word == "seen"
    assert edited(rig, other, "g", None).word == "ok"
    found = rig.run(rig.broker.state.get(RunId("r"), "k"))
    assert found.value == b"g"


def test_one_that_stands_in_line_already_is_handed_the_lock_once_and_told(
    rig: Rig, items: tuple[Delivery, ...]
) -> None:
    mine, also_mine, other = items
    assert asked(rig, mine, "w1") is True
    assert asked(rig, also_mine, "w1") is False
    assert edited(rig, mine, "e", ask(also_mine, "w1")).word == "yours"
    assert granted(rig, "w1") == [token(also_mine).encode()]
    assert edited(rig, also_mine, "f", None).word == "ok"
    assert asked(rig, other, "w2") is True


def test_a_lock_given_back_without_a_change_is_handed_on_likewise(rig: Rig, items: tuple[Delivery, ...]) -> None:
    mine, also_mine, _ = items
    assert asked(rig, mine, "w1") is True
    unlock = rig.broker.state.unlock
    assert rig.run(unlock(RunId("r"), token(mine), ask(also_mine, "w1"))) == "yours"
    assert rig.run(unlock(RunId("r"), token(mine), ask(also_mine, "w1"))) == ""
    assert edited(rig, also_mine, "f", None).word == "ok"


def test_the_end_of_a_holder_that_was_handed_the_lock_frees_it(rig: Rig, items: tuple[Delivery, ...]) -> None:
    mine, also_mine, other = items
    assert asked(rig, mine, "w1") is True
    assert edited(rig, mine, "e", ask(also_mine, "w1")).word == "yours"
    assert asked(rig, other, "w2") is False
    taken_over(rig, also_mine)
    assert granted(rig, "w2") == [token(other).encode()]
    assert hand_on(rig, other, StopEvent()).name == "DONE"
