from __future__ import annotations

from typing import cast

from broker_wf.broker.asking import Serving
from broker_wf.broker.packing import unpack
from broker_wf.core.ids import Digest, Lane, StepName
from broker_wf.worker.lane_turns import LaneTurns

A, B, C = Lane("a"), Lane("b"), Lane("c")


def turns(*lanes: Lane) -> LaneTurns:
    made = LaneTurns()
    made.serve(both(*lanes))
    return made


def both(*lanes: Lane) -> list[Serving]:
    """Each lane, and that of its runs set aside."""
    digest, limits = Digest("9f"), {StepName("s"): 2}
    names = [Lane(name) for lane in lanes for name in (lane, f"{lane}#9f")]
    return [Serving(lane=name, digest=digest, limits=limits, per_run={}) for name in names]


def asked(made: LaneTurns) -> list[str]:
    """The lanes of the next claim; each has that of its runs set aside behind it."""
    entries = cast("list[list[object]]", unpack(made.next()))
    names = [cast("bytes", one[0]).decode() for one in entries]
    assert names[1::2] == [f"{name}#9f" for name in names[::2]]
    assert all(one[1:] == [b"9f", {b"s": 2}, {}] for one in entries)
    return names[::2]


def test_whoever_has_given_nothing_for_longest_comes_first() -> None:
    made = turns(A, B, C)
    assert asked(made) == ["a", "b", "c"]
    made.brought([A, Lane("b#9f"), A], everything=False)
    assert asked(made) == ["c", "a", "b"]
    made.brought([A], everything=True)
    assert asked(made) == ["c", "b", "a"]


def test_two_that_always_have_something_take_turns_whatever_is_between_them() -> None:
    made = turns(A, B, *(Lane(f"empty{n}") for n in range(33)))
    given: list[str] = []
    for _ in range(10):
        given.append(next(lane for lane in asked(made) if not lane.startswith("empty")))
        made.brought([Lane(given[-1])], everything=True)
    assert given == ["a", "b"] * 5


def test_who_rang_is_asked_first_until_it_was_looked_into() -> None:
    made = turns(A, B, C)
    made.rang(Lane("c#9f"))
    made.rang(Lane("nobody's"))
    assert asked(made) == ["c", "a", "b"]
    made.brought([B], everything=True)
    assert asked(made) == ["c", "a", "b"]
    made.brought([C], everything=True)
    assert asked(made) == ["a", "b", "c"]
    made.rang(B)
    assert asked(made) == ["b", "a", "c"]
    made.rang(C)
    made.brought([], everything=False)
    assert (asked(made), made.pass_on()) == (["c", "a", "b"], [C])


def test_what_rang_and_was_not_answered_is_passed_on_once() -> None:
    made = turns(A, B)
    made.rang(Lane("b#9f"))
    asked(made)
    made.brought([A], everything=True)
    assert made.pass_on() == ["b#9f"]
    assert made.pass_on() == []


def test_other_lanes_may_be_served_while_a_claim_is_under_way() -> None:
    made = turns(A, B)
    made.rang(A)
    made.rang(B)
    asked(made)
    made.serve(both(C, A))
    made.brought([B], everything=True)
    assert asked(made) == ["a", "c"]
    assert made.pass_on() == ["a"]
    made.serve([])
    assert asked(made) == []


def test_a_bell_is_answered_by_a_claim_that_was_done_when_it_was_heard() -> None:
    made = turns(A, B)
    made.next()
    made.answered(B)
    made.brought([], everything=False)
    assert made.pass_on() == []


def test_it_is_not_by_one_that_other_lanes_have_filled_nor_by_one_of_other_lanes() -> None:
    made = turns(A, B)
    made.next()
    made.answered(B)
    made.answered(C)
    made.brought([A], everything=True)
    assert made.pass_on() == [B]
