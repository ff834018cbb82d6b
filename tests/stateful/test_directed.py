"""Schedules that once went wrong, or that a random walk meets too seldom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker_wf.broker.deliveries import Ended
from broker_wf.broker.packing import pack
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId, StepName
from broker_wf.core.outcome import CollectDecision, Sent, Written
from broker_wf.errors import RunEndedError
from broker_wf.events import StopEvent
from tests.mutants import mutated
from tests.stateful.acts import MAX_CRASHES, begun, entries, hand_on, only, run_out, status, taken_over
from tests.stateful.flow import Both, Done, Item, Loose, Piece, Task
from tests.stateful.rig import LATER_MS, LEASE_MS, Rig, rigged


@pytest.fixture
def narrow(server_url: str, namespace: str) -> Iterator[Rig]:
    """A rig whose runs have at most three deliveries in streams."""
    yield from rigged(server_url, namespace, 3)


def test_the_former_holder_is_fenced_while_its_successor_works(rig: Rig) -> None:
    former = begun(rig)
    successor = taken_over(rig, former)
    assert hand_on(rig, former, StopEvent()) is Ended.FENCED
    assert status(rig) == "running"
    assert hand_on(rig, successor, StopEvent()) is Ended.DONE


def test_the_former_holder_is_fenced_after_its_successor_has_committed(rig: Rig) -> None:
    former = begun(rig)
    assert hand_on(rig, taken_over(rig, former), Task()) is Ended.DONE
    assert hand_on(rig, former, Task()) is Ended.FENCED
    assert len(rig.claim("w2")) == 1


def test_without_the_fence_the_former_holder_commits_for_its_successor(server_url: str, namespace: str) -> None:
    with mutated("no fence"):
        for rig in rigged(server_url, namespace, 1000):
            former = begun(rig)
            taken_over(rig, former)
            assert hand_on(rig, former, StopEvent()) is Ended.DONE


def test_a_commit_that_is_repeated_is_done_once(rig: Rig) -> None:
    delivery = begun(rig)
    plan = rig.plan(delivery, [Task()], listed=False)
    assert [rig.commit(plan), rig.commit(plan)] == [Ended.DONE, Ended.DONE]
    assert len(rig.claim("w1")) == 1


def test_effects_of_a_lease_that_has_committed_are_not_made(rig: Rig) -> None:
    delivery = begun(rig)
    hand_on(rig, delivery, Task())
    ended, words, _ = rig.effects(delivery, [Written(event=Done())])
    assert (ended, words) == (Ended.DONE, [])
    assert rig.raw.xlen(rig.key("feed", "r")) == 0


def test_effects_that_a_successor_repeats_are_made_once(rig: Rig) -> None:
    former = begun(rig)
    effects = [Sent(event=Task(), route=rig.program.router.route(Task)), Written(event=Done())]
    assert rig.effects(former, effects)[1] == ["ok", "ok"]
    run_out(rig, former)
    successor = next(one for one in rig.claim("w2") if one.id == former.id)
    assert rig.effects(successor, effects)[1] == ["seen", "seen"]
    assert rig.raw.xlen(rig.key("feed", "r")) == 1


@pytest.mark.parametrize("ending", ["cancel", "stop"])
def test_an_ended_run_leaves_no_entry_that_two_of_its_steps_hold(rig: Rig, ending: str) -> None:
    end_while_two_steps_hold_one_entry(rig, ending)
    assert entries(rig, "Both") == 0


def test_an_entry_of_two_steps_stays_if_each_leaves_it_to_the_other(server_url: str, namespace: str) -> None:
    with mutated("an ended run leaves its shared entries"):
        for rig in rigged(server_url, namespace, 1000):
            end_while_two_steps_hold_one_entry(rig, "cancel")
            assert entries(rig, "Both") == 1


def end_while_two_steps_hold_one_entry(rig: Rig, ending: str) -> None:
    hand_on(rig, begun(rig), Both(), Task())
    held = rig.claim("w1")
    assert len(held) == 3
    if ending == "cancel":
        rig.run(rig.broker.runs.cancel(RunId("r")))
    else:
        assert hand_on(rig, next(one for one in held if one.step == "limited"), StopEvent()) is Ended.DONE


def test_a_group_does_not_delete_the_entry_of_another_step(rig: Rig) -> None:
    hand_on(rig, begun(rig), Both())
    both = rig.claim("w1")
    assert rig.run(rig.broker.deliveries.release(both)) == 2
    assert {one.step for one in rig.claim("w1")} == {"one", "other"}


def test_an_event_for_one_step_passes_the_group_of_the_other(rig: Rig) -> None:
    delivery = begun(rig)
    for step in ("one", "other"):
        rig.effects(delivery, [Sent(event=Both(), route=rig.program.router.route(Both, StepName(step)))])
    assert sorted(one.step for one in rig.claim("w1")) == ["one", "other"]


def test_an_event_for_two_steps_that_does_not_fit_the_window_is_not_forgotten(narrow: Rig) -> None:
    delivery = begun(narrow)
    hand_on(narrow, delivery, *[Both(n=n) for n in range(4)])
    seen = 0
    while claimed := narrow.claim("w1"):
        seen += len(claimed)
        for one in claimed:
            hand_on(narrow, one)
    assert seen == 8


def test_what_a_commit_after_a_stale_buffer_stages_replaces_what_was_staged(rig: Rig) -> None:
    hand_on(rig, begun(rig), Loose(n=1), Loose(n=2))
    first, second = rig.claim("w1")
    name = rig.program.spec.name_of(Loose)
    stands = CollectDecision(buffer="default", name=name, event=Loose(), want={name: 3}, fire=False)
    stale = CollectDecision(buffer="default", name=name, event=Loose(), want={name: 2}, fire=False)
    assert rig.commit(rig.plan(first, [], listed=False, decisions=(stands,))) is Ended.DONE
    many = [Item(n=n) for n in range(600)]
    assert rig.commit(rig.plan(second, many, listed=False, decisions=(stale,))) is Ended.STALE_BUFFER
    other = [Piece(n=n) for n in range(3)] + [Task(n=n) for n in range(600)]
    assert rig.commit(rig.plan(second, other, listed=False, decisions=(stands,))) is Ended.DONE
    truth = rig.truth("r")
    assert {record["s"] for record in truth.live.values()} == {b"limited"}


def test_a_renewed_lease_whose_watch_was_lost_is_not_taken_away(rig: Rig) -> None:
    delivery = begun(rig)
    rig.raw.hset(rig.key("live", "r"), delivery.id, leased_long_ago(rig, delivery))
    rig.raw.zrem(rig.key("watch"), f"r|{delivery.id}")
    assert rig.audit() == (1, 0)
    rig.sweep(MAX_CRASHES)
    assert hand_on(rig, delivery, StopEvent()) is Ended.DONE


def leased_long_ago(rig: Rig, delivery: Delivery) -> bytes:
    """The record of a lease that was renewed since: it says when it was first to end."""
    record = rig.truth("r").live[delivery.id]
    return pack({**record, "x": record["x"] - 10 * LEASE_MS, "d": record["d"] - 10 * LEASE_MS})


def test_a_delivery_that_ends_its_workers_ends_its_run_at_the_third(rig: Rig) -> None:
    delivery = begun(rig)
    for crashes in (1, 2):
        delivery = taken_over(rig, delivery)
        assert delivery.crashes == crashes
        assert delivery.attempt == 1
    run_out(rig, delivery)
    assert status(rig) == "failed"
    assert rig.raw.xlen(rig.key("dead")) == 1


def test_a_release_ages_nothing(rig: Rig) -> None:
    delivery = begun(rig)
    assert rig.run(rig.broker.deliveries.release([delivery])) == 1
    again = only(rig.claim("w2"))
    assert (again.id, again.attempt, again.crashes) == (delivery.id, 1, 0)


def test_a_failure_that_is_repeated_ages_once(rig: Rig) -> None:
    delivery = begun(rig)
    assert [rig.fail(delivery, LATER_MS), rig.fail(delivery, LATER_MS)] == [Ended.DONE, Ended.DONE]
    run_out(rig, delivery)
    assert only(rig.claim("w1")).attempt == 2


def test_a_group_made_anew_past_the_entries_does_not_strand_them(rig: Rig) -> None:
    hand_on(rig, begun(rig), Item(), Item())
    key = rig.key("work", rig.lane, "Item")
    rig.raw.xgroup_destroy(key, "work")
    rig.raw.xgroup_create(key, "work", "$")
    assert rig.claim("w1") == ()
    rig.make_due("queued")
    rig.sweep(MAX_CRASHES)
    assert len(rig.claim("w1")) == 2


def test_a_place_of_a_crashed_holder_goes_to_the_next(rig: Rig) -> None:
    hand_on(rig, begun(rig), Task(), Task(), Task())
    first, second = rig.claim("w1")
    assert rig.claim("w2") == ()
    run_out(rig, first)
    assert only(rig.claim("w2")).place == first.place
    assert len(rig.places("limited")) == 2
    hand_on(rig, second)
    assert len(rig.claim("w2")) == 1


def test_workers_share_the_places_of_a_limited_step_and_the_patient_gets_those_of_the_others(rig: Rig) -> None:
    rig.heartbeat("w1")
    rig.heartbeat("w2")
    hand_on(rig, begun(rig), *[Task() for _ in range(6)])
    assert len(rig.claim("w1", waited=0)) == 1
    assert len(rig.claim("w1", held=1, waited=4)) == 1
    assert rig.claim("w2", waited=0) == ()


def test_places_that_are_not_freed_keep_work_waiting(server_url: str, namespace: str) -> None:
    with mutated("places are not freed"):
        for rig in rigged(server_url, namespace, 1000):
            hand_on(rig, begun(rig), Task(), Task(), Task())
            first, _ = rig.claim("w1")
            hand_on(rig, first)
            assert rig.claim("w2") == ()


def test_an_event_sent_twice_from_outside_arrives_once(rig: Rig) -> None:
    begun(rig)
    for _ in range(2):
        rig.send("r", "x1", Task())
    assert len(rig.claim("w1")) == 1


def test_an_event_that_was_taken_is_not_refused_when_it_is_sent_again_after_the_end_of_the_run(rig: Rig) -> None:
    first = begun(rig)
    rig.send("r", "x1", Task())
    for n in range(2, 66):
        rig.send("r", f"x{n:016x}", Task())
    assert hand_on(rig, first, StopEvent()) is Ended.DONE
    rig.send("r", f"x{65:016x}", Task())
    rig.send("r", f"x{3:016x}", Task())
    for late in ("x1", "y"):
        with pytest.raises(RunEndedError):
            rig.send("r", late, Task())


def test_a_join_gets_the_same_batch_after_a_crash(rig: Rig) -> None:
    hand_on(rig, begun(rig), Item(n=1), Item(n=2), Item(n=3), listed=True)
    for one in rig.claim("w1"):
        hand_on(rig, one, Done(n=7))
    join = only(rig.claim("w1"))
    again = taken_over(rig, join)
    assert join.batch is not None
    assert (again.id, again.batch, len(join.batch)) == (join.id, join.batch, 3)


def test_a_group_that_deletes_what_is_not_its_own_loses_work(server_url: str, namespace: str) -> None:
    with mutated("groups delete what is not theirs"):
        for rig in rigged(server_url, namespace, 1000):
            hand_on(rig, begun(rig), Both())
            rig.run(rig.broker.deliveries.release(rig.claim("w1")))
            assert len(rig.claim("w1")) < 2


def test_a_renewal_by_the_former_holder_is_refused(rig: Rig) -> None:
    former = begun(rig)
    successor = taken_over(rig, former)
    assert (rig.renew(former), rig.renew(successor)) == (False, True)


def test_a_worker_has_at_most_one_delivery_that_may_be_poison(rig: Rig) -> None:
    hand_on(rig, begun(rig), Item(n=1), Item(n=2))
    for _ in range(2):
        rig.make_due("watch", *(f"r|{one.id}" for one in rig.claim("w1")))
        rig.sweep(MAX_CRASHES)
    first = only(rig.claim("w1"))
    rig.make_due("watch", *(one for one in rig.members("watch") if one.endswith("@work") and first.id not in one))
    rig.sweep(MAX_CRASHES)
    assert rig.claim("w1", frail_free=False) == ()
    rig.make_due("watch", *(one for one in rig.members("watch") if one.endswith("@work") and first.id not in one))
    rig.sweep(MAX_CRASHES)
    second = only(rig.claim("w2"))
    assert {first.id, second.id} == {"0@begin.0@work", "0@begin.1@work"}
    assert (second.attempt, second.crashes) == (1, 2)


def test_a_worker_takes_more_than_its_share_by_and_by_so_that_a_late_one_finds_something(rig: Rig) -> None:
    for worker in ("w1", "w2", "w3"):
        rig.heartbeat(worker)
    hand_on(rig, begun(rig), *(Loose(n=n) for n in range(60)))
    took = [len(rig.claim("w1", held=0, waited=0)), len(rig.claim("w2", held=0, waited=0))]
    assert took == [20, 20]
    rig.raw.delete(rig.key("bell", rig.lane))
    held, more = 20, list[int]()
    for waited in (1, 2, 3):
        more.append(len(rig.claim("w1", held=held, waited=waited)))
        held += more[-1]
    assert more == [2, 3, 7]
    assert rig.raw.llen(rig.key("bell", rig.lane)) == 1, "the late one is called once more"
    assert len(rig.claim("w3", held=0, waited=0)) == 8
    assert rig.claim("w2", held=20, waited=4) == ()


def test_a_claim_that_leaves_work_for_want_of_room_calls_somebody_else(rig: Rig) -> None:
    for worker in ("w1", "w2"):
        rig.heartbeat(worker)
    hand_on(rig, begun(rig), *(Loose(n=n) for n in range(60)))
    bell = rig.key("bell", rig.lane)
    rig.raw.delete(bell)  # Those who heard it were given work, and one was not listening yet.
    for held in (0, 4):
        assert len(rig.claim("w1", 4, held=held)) == 4
        assert rig.raw.llen(bell) == 1
    rig.raw.delete(bell)
    assert len(rig.claim("w2")) == 52
    assert rig.raw.llen(bell) == 0, "there is nothing left to call anybody for"


def test_a_claim_that_has_not_looked_at_all_pairs_of_a_lane_says_so(rig: Rig) -> None:
    rig.raw.zadd(rig.key("ready", rig.lane), {f"nobody's {n}": -1 for n in range(128)})
    rig.submit("r")
    assert rig.claim("w1") == ()
    assert rig.left_some
    assert only(rig.claim("w1")).step == "begin"
    assert not rig.left_some
