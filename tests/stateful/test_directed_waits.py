"""Schedules of waits that a random walk meets too seldom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker_wf.broker.deliveries import Ended
from broker_wf.core.delivery import Delivery, WaitState
from broker_wf.core.outcome import Sent
from tests.mutants import mutated
from tests.stateful.flow import Answer, Done, Item
from tests.stateful.rig import LATER_MS, Rig, rigged

MAX_CRASHES = 3


@pytest.fixture(params=[1000, 2], ids=["wide", "narrow"])
def rig(request: pytest.FixtureRequest, server_url: str, namespace: str) -> Iterator[Rig]:
    yield from rigged(server_url, namespace, request.param)


def begun(rig: Rig) -> Delivery:
    rig.submit("r")
    (one,) = rig.claim("w1")
    return one


def members(rig: Rig, count: int) -> list[Delivery]:
    """The members of a fan-out, all parked; as many leases as there were."""
    first = begun(rig)
    rig.commit(rig.plan(first, [Item(n=n) for n in range(count)], listed=True))
    found: list[Delivery] = []
    while some := rig.claim("w1"):
        for one in some:
            assert rig.suspend(one, "only", None, None) is Ended.DONE
        found += some
    assert len(found) == count
    return found


def test_a_collection_whose_members_wait_is_not_stuck(rig: Rig) -> None:
    members(rig, 5)
    assert rig.truth("r").live == {}
    assert rig.audit() == (0, 0)
    assert rig.truth("r").status == "running"


def test_an_answer_to_all_brings_all_back_within_the_window(rig: Rig) -> None:
    waiting = members(rig, 5)
    rig.send("r", "x1", Answer(n=7))
    truth = rig.truth("r")
    assert truth.waiting == {}
    assert len(truth.live) + len(truth.backlog) == 5
    back: list[Delivery] = []
    while some := rig.claim("w1"):
        for one in some:
            assert one.step == "gather" or one.waiters["only"].state is WaitState.ANSWERED
            assert rig.commit(rig.plan(one, [Done(n=1)], listed=False)) is Ended.DONE
        back += [one for one in some if one.step == "work"]
    assert {one.id for one in back} == {one.id for one in waiting}


def test_an_answer_that_comes_while_the_step_is_executing_again_is_not_lost(rig: Rig) -> None:
    first = begun(rig)
    assert rig.suspend(first, "a", 1, LATER_MS) is Ended.DONE
    rig.send("r", "x1", Answer(n=1))
    (again,) = rig.claim("w2")
    assert rig.suspend(again, "b", 0, LATER_MS) is Ended.DONE
    rig.send("r", "x2", Answer(n=2))
    (third,) = rig.claim("w1")
    assert {key: one.state for key, one in third.waiters.items()} == {
        "a": WaitState.ANSWERED,
        "b": WaitState.ANSWERED,
    }


def test_a_wait_that_is_answered_while_its_delivery_is_leased_does_not_park_it(rig: Rig) -> None:
    first = begun(rig)
    assert rig.suspend(first, "a", 0, None) is Ended.DONE
    assert rig.suspend(first, "a", 0, None) is Ended.DONE
    rig.make_due("watch", "r|0@begin")
    assert rig.sweep(MAX_CRASHES) == 0
    rig.send("r", "x1", Answer(n=2))
    (second,) = rig.claim("w2")
    assert rig.suspend(second, "b", 1, None) is Ended.DONE
    assert rig.suspend(first, "a", 0, None) is Ended.FENCED
    rig.send("r", "x2", Answer(n=3))
    (third,) = rig.claim("w2")
    route = rig.program.router.route(Answer)
    rig.effects(third, [Sent(event=Answer(n=5), route=route)])
    assert rig.suspend(third, "c", 1, None) is Ended.DONE
    (fourth,) = rig.claim("w1")
    assert fourth.attempt == 1
    assert fourth.crashes == 0
    assert rig.answers("r", "0@begin") == [{"a": ("a", 2), "b": ("a", 3), "c": ("a", 5)}]


def test_a_crash_of_the_replay_keeps_the_answers(rig: Rig) -> None:
    first = begun(rig)
    rig.suspend(first, "a", 1, LATER_MS)
    rig.send("r", "x1", Answer(n=1))
    rig.claim("w1")
    rig.make_due("watch", "r|0@begin")
    assert rig.sweep(MAX_CRASHES) == 1
    (again,) = rig.claim("w2")
    assert again.crashes == 1
    assert again.waiters["a"].state is WaitState.ANSWERED


def test_an_event_after_the_time_out_is_kept_for_another_waiter(rig: Rig) -> None:
    first = begun(rig)
    rig.suspend(first, "a", 1, LATER_MS)
    rig.make_due("watch", "r|0@begin")
    assert rig.sweep(MAX_CRASHES) == 1
    rig.send("r", "x1", Answer(n=1))
    (again,) = rig.claim("w1")
    assert again.waiters["a"].state is WaitState.TIMED_OUT
    assert rig.suspend(again, "b", 1, LATER_MS) is Ended.DONE
    assert rig.answers("r", "0@begin") == [{"a": ("t", None), "b": ("a", 1)}]


def told_another_number(rig: Rig) -> tuple[Delivery, ...]:
    """What goes on when somebody answers with a number that is not the one required."""
    assert rig.suspend(begun(rig), "a", 1, LATER_MS) is Ended.DONE
    rig.send("r", "x1", Answer(n=2))
    return rig.claim("w2")


def test_an_event_that_is_not_what_is_required_is_no_answer(rig: Rig) -> None:
    assert told_another_number(rig) == ()


def test_without_the_comparison_any_event_is_the_answer(rig: Rig) -> None:
    with mutated("any event is the answer"):
        assert len(told_another_number(rig)) == 1
