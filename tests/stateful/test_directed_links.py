"""Deliveries that are committed in one script: one from the other, or side by side."""

from __future__ import annotations

from broker_wf.broker.deliveries import Ended
from broker_wf.core.ids import RunId
from broker_wf.events import StopEvent
from tests.feed_entries import feed_entries
from tests.stateful.acts import begun, entries, hand_on, only, status, taken_over
from tests.stateful.flow import Both, Done, Item, Left, Part, Piece, Right
from tests.stateful.rig import Rig
from tests.stateful.together import chain, commit_together


def marks(rig: Rig) -> set[str]:
    return {did.decode() for did in rig.raw.hkeys(rig.key("done", "r"))}


def test_what_followed_one_from_the_other_is_done_and_the_last_hands_on(rig: Rig) -> None:
    plan, *links = chain(rig, begun(rig), [Item, Part, Piece], 3)
    assert rig.commit(plan, links=links) is Ended.DONE
    assert marks(rig) == {"0@begin", "0@begin.0@work", "0@begin.0@work.0@shape"}
    assert rig.truth("r").live == {}
    assert entries(rig, "Item") == 0
    assert rig.members("watch") == {"r|!deadline"}
    assert rig.audit() == (0, 0)


def test_the_last_one_may_hand_on_to_several_and_open_a_collection(rig: Rig) -> None:
    plan, *links = chain(rig, begun(rig), [Item, Part], 3)
    links[-1] = rig.plan(links[-1].delivery, [Part(n=1), Part(n=2)], listed=True)
    assert rig.commit(plan, links=links) is Ended.DONE
    for one in rig.claim("w1"):
        assert hand_on(rig, one, Piece()) is Ended.DONE
    assert only(rig.claim("w1")).step == "merge"


def test_the_last_one_may_end_the_run(rig: Rig) -> None:
    plan, link, *_ = chain(rig, begun(rig), [Item, Part], 3)
    link = rig.plan(link.delivery, [StopEvent(result=1)], listed=False)
    assert rig.commit(plan, links=[link]) is Ended.DONE
    assert status(rig) == "completed"
    assert marks(rig) == {"0@begin", "0@begin.0@work"}
    (entry,) = feed_entries(rig.raw, rig.broker.keys, "r")
    assert entry[1][b"s"] == b"work"
    assert entry[1][b"b"] == b"1 w1"
    assert rig.members("watch") == set()


def test_what_was_executed_in_one_go_stays_in_its_collection(rig: Rig) -> None:
    assert hand_on(rig, begun(rig), Item(n=1), Item(n=2), listed=True) is Ended.DONE
    first, second = rig.claim("w1")
    plan, *links = chain(rig, first, [Part, Piece], 1)
    assert rig.commit(plan, links=links) is Ended.DONE
    assert rig.claim("w1") == ()
    assert hand_on(rig, second) is Ended.DONE
    assert only(rig.claim("w1")).step == "gather"


def test_a_commit_whose_reply_was_lost_is_done(rig: Rig) -> None:
    plan, *links = chain(rig, begun(rig), [Item, Part], 3)
    offer = rig.offer(links[-1], "w1")
    assert [rig.commit(plan, offer, links=links) for _ in range(2)] == [Ended.DONE, Ended.DONE]
    first, again = rig.kept
    assert first == again
    assert first.step == "shape"


def test_who_has_lost_the_lease_commits_none_of_it(rig: Rig) -> None:
    former = begun(rig)
    successor = taken_over(rig, former)
    plan, *links = chain(rig, former, [Item, Part], 3)
    assert rig.commit(plan, links=links) is Ended.FENCED
    assert rig.truth("r").live.keys() == {successor.id}
    assert marks(rig) == set()


def test_none_of_it_is_committed_once_the_run_has_ended(rig: Rig) -> None:
    plan, *links = chain(rig, begun(rig), [Item, Part], 3)
    rig.run(rig.broker.runs.cancel(RunId("r")))
    assert rig.commit(plan, links=links) is Ended.GONE
    assert marks(rig) == set()


def test_where_somebody_waits_each_is_committed_by_itself(rig: Rig) -> None:
    assert hand_on(rig, begun(rig), Item(n=1), Item(n=2)) is Ended.DONE
    waiting, other = rig.claim("w1")
    assert rig.suspend(waiting, "any", None, None) is Ended.DONE
    plan, *links = chain(rig, other, [Part, Piece], 3)
    assert rig.commit(plan, links=links) is Ended.SINGLY
    assert rig.commit(plan) is Ended.DONE


def test_what_was_begun_is_kept_by_a_full_worker_though_others_idle(rig: Rig) -> None:
    rig.heartbeat("w1")
    rig.heartbeat("w2")
    plan = rig.plan(begun(rig), [Item()], listed=False)
    rig.raw.delete(rig.key("bell", rig.lane))
    assert rig.commit(plan, rig.offer(plan, "w1", begun=True), busy=True) is Ended.DONE
    assert only(tuple(rig.kept)).step == "work"


def test_several_of_a_run_are_committed_at_once(rig: Rig) -> None:
    hand_on(rig, begun(rig), *[Item(n=n) for n in range(5)], listed=True)
    first, *held = (rig.plan(one, [Done(n=1)], listed=False) for one in rig.claim("w1"))
    assert commit_together(rig, [first]) == [Ended.DONE], "the server knows the script from now on"
    told: list[Ended] = []
    assert rig.calls_in(lambda: told.extend(commit_together(rig, held))) == 1
    assert told == [Ended.DONE] * 4
    gather = only(rig.claim("w1"))
    assert (gather.step, len(gather.batch or ())) == ("gather", 5)
    assert rig.audit() == (0, 0)


def test_of_several_those_that_have_lost_their_lease_are_refused(rig: Rig) -> None:
    hand_on(rig, begun(rig), *[Item(n=n) for n in range(3)])
    held = rig.claim("w1")
    successor = taken_over(rig, held[1])
    commits = [rig.plan(one, [Done()], listed=False) for one in held]
    assert commit_together(rig, commits) == [Ended.DONE, Ended.FENCED, Ended.DONE]
    assert commit_together(rig, commits) == [Ended.DONE, Ended.FENCED, Ended.DONE]
    assert rig.truth("r").live.keys() == {successor.id}


def test_both_steps_of_one_event_may_end_at_once_and_nothing_is_left(rig: Rig) -> None:
    hand_on(rig, begun(rig), Both())
    held = rig.claim("w1")
    assert len(held) == 2
    assert commit_together(rig, [rig.plan(one, [], listed=False) for one in held]) == [Ended.DONE] * 2
    assert entries(rig, "Both") == 0


def test_slots_are_filled_by_several_at_once(rig: Rig) -> None:
    hand_on(rig, begun(rig), Item(n=1), Item(n=2))
    first, second = rig.claim("w1")
    commits = [rig.plan(one, [event()], listed=False) for one, event in ((first, Left), (second, Right))]
    assert commit_together(rig, commits) == [Ended.DONE] * 2
    assert only(rig.claim("w1")).step == "pair"


def test_several_where_somebody_waits_are_committed_one_by_one(rig: Rig) -> None:
    hand_on(rig, begun(rig), Item(n=1), Item(n=2), Item(n=3))
    waiting, *others = rig.claim("w1")
    assert rig.suspend(waiting, "any", None, None) is Ended.DONE
    assert commit_together(rig, [rig.plan(one, [Done()], listed=False) for one in others]) == [Ended.DONE] * 2


def test_what_several_hand_on_takes_the_room_of_what_has_ended(rig: Rig) -> None:
    hand_on(rig, begun(rig), Item(n=1), Item(n=2))
    held = rig.claim("w1")
    assert commit_together(rig, [rig.plan(one, [Part(), Part()], listed=False) for one in held]) == [Ended.DONE] * 2
    assert [one.step for one in rig.claim("w1")] == ["shape"] * 4
