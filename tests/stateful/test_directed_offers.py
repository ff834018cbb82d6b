"""A worker goes on with the one delivery that follows from a commit."""

from __future__ import annotations

from broker_wf.broker.deliveries import Ended
from broker_wf.broker.script import load
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import EventName, RunId
from broker_wf.core.outcome import CollectDecision
from broker_wf.events import Event, StopEvent
from tests.stateful.acts import MAX_CRASHES, begun, entries, only, run_out, status, taken_over
from tests.stateful.flow import Both, Done, Item, Loose, Part, Task
from tests.stateful.rig import Rig, rigged


def hand_on(rig: Rig, delivery: Delivery, *events: Event, busy: bool = False) -> tuple[Ended, list[Delivery]]:
    """Commit with an offer of the worker; what it has got by that."""
    rig.kept = []
    plan = rig.plan(delivery, events, listed=False)
    return rig.commit(plan, rig.offer(plan, "w1"), busy=busy), rig.kept


def went_on(rig: Rig, delivery: Delivery, event: Event) -> Delivery:
    ended, kept = hand_on(rig, delivery, event)
    assert ended is Ended.DONE
    return only(tuple(kept))


def test_what_follows_alone_is_leased_at_once_and_in_no_stream(rig: Rig) -> None:
    first = begun(rig)
    following = went_on(rig, first, Item(n=7))
    assert (following.id, following.step, following.attempt, following.crashes) == ("0@begin.0@work", "work", 1, 0)
    assert rig.program.codec.decode_event(following.payload).n == 7
    assert following.fence != first.fence
    assert entries(rig, "Item") == 0
    assert rig.members("queued") == set()
    assert f"r|{following.id}" in rig.members("watch")
    assert rig.claim("w2") == ()
    assert rig.renew(following)


def test_a_whole_chain_stays_with_its_worker_and_leaves_nothing(rig: Rig) -> None:
    last = went_on(rig, went_on(rig, begun(rig), Item()), Part())
    assert rig.commit(rig.plan(last, [StopEvent()], listed=False)) is Ended.DONE
    assert status(rig) == "completed"
    assert rig.members("watch") | rig.members("queued") == set()
    assert rig.audit() == (0, 0)


def test_a_commit_whose_reply_was_lost_gives_the_same_delivery_again(rig: Rig) -> None:
    plan = rig.plan(begun(rig), [Item()], listed=False)
    offer = rig.offer(plan, "w1")
    assert [rig.commit(plan, offer), rig.commit(plan, offer)] == [Ended.DONE, Ended.DONE]
    first, again = rig.kept
    assert first == again
    assert hand_on(rig, first)[0] is Ended.DONE
    assert rig.commit(plan, offer) is Ended.DONE
    assert rig.kept == []


def test_it_is_not_given_again_to_who_has_lost_it_meanwhile(rig: Rig) -> None:
    plan = rig.plan(begun(rig), [Item()], listed=False)
    offer = rig.offer(plan, "w1")
    rig.commit(plan, offer)
    successor = taken_over(rig, rig.kept.pop())
    assert rig.commit(plan, offer) is Ended.DONE
    assert rig.kept == []
    assert hand_on(rig, successor)[0] is Ended.DONE


def test_it_is_not_given_again_once_its_run_has_ended(rig: Rig) -> None:
    plan = rig.plan(begun(rig), [Item()], listed=False)
    offer = rig.offer(plan, "w1")
    rig.commit(plan, offer)
    rig.run(rig.broker.runs.cancel(RunId("r")))
    rig.kept.clear()
    assert rig.commit(plan, offer) is Ended.DONE
    assert rig.kept == []


def test_who_has_lost_the_lease_gets_nothing_by_an_offer(rig: Rig) -> None:
    former = begun(rig)
    successor = taken_over(rig, former)
    assert hand_on(rig, former, Item()) == (Ended.FENCED, [])
    assert rig.truth("r").live.keys() == {successor.id}


def test_nothing_is_kept_of_a_run_that_has_ended(rig: Rig) -> None:
    delivery = begun(rig)
    rig.run(rig.broker.runs.cancel(RunId("r")))
    assert hand_on(rig, delivery, Item()) == (Ended.GONE, [])


def test_a_worker_that_dies_with_what_it_kept_counts_as_one_crash(rig: Rig) -> None:
    kept = went_on(rig, begun(rig), Item())
    successor = taken_over(rig, kept)
    assert (successor.id, successor.crashes, successor.attempt) == (kept.id, 1, 1)
    assert hand_on(rig, kept, Part()) == (Ended.FENCED, [])
    assert hand_on(rig, successor)[0] is Ended.DONE


def test_what_is_kept_can_be_poison(rig: Rig) -> None:
    held = went_on(rig, begun(rig), Item())
    for _ in range(MAX_CRASHES - 1):
        run_out(rig, held)
        held = only(rig.claim("w1"))
    run_out(rig, held)
    assert status(rig) == "failed"
    assert rig.raw.xlen(rig.key("dead")) == 1


def test_what_is_kept_and_handed_back_is_not_aged(rig: Rig) -> None:
    kept = went_on(rig, begun(rig), Item())
    assert rig.run(rig.broker.deliveries.release([kept])) == 1
    again = only(rig.claim("w2"))
    assert (again.id, again.crashes, again.attempt) == (kept.id, 0, 1)


def test_several_that_follow_and_steps_with_places_are_for_everybody(rig: Rig) -> None:
    for events in ([Item(), Item()], [Both()], [Task()], [Done()], []):
        plan = rig.plan(begun(rig, f"r{len(events)}{events[:1]}"), events, listed=False)
        assert rig.offer(plan, "w1") is None


def test_a_full_worker_keeps_what_follows_only_if_nobody_idles(rig: Rig) -> None:
    rig.heartbeat("w1")
    rig.heartbeat("w2")
    delivery, bell = begun(rig), rig.key("bell", rig.lane)
    rig.raw.delete(bell)
    assert hand_on(rig, delivery, Item(), busy=True) == (Ended.DONE, [])
    assert rig.raw.llen(bell) == 1
    second = only(rig.claim("w1"))
    ended, kept = hand_on(rig, second, Part(), busy=True)
    assert (ended, [one.step for one in kept]) == (Ended.DONE, ["shape"])


def test_what_is_kept_takes_its_room_in_the_window(server_url: str, namespace: str) -> None:
    for rig in rigged(server_url, namespace, 1):
        begin = begun(rig)
        rig.send("r", "x1", Item())
        assert rig.truth("r").backlog == {"x1@work"}
        ended, kept = hand_on(rig, begin, Loose())
        assert (ended, [one.step for one in kept]) == (Ended.DONE, ["collect"])
        assert rig.truth("r").backlog == {"x1@work"}


def test_what_follows_in_a_lane_that_has_been_left_is_not_kept(rig: Rig) -> None:
    delivery = begun(rig)
    there, digest = f"{rig.lane}@elsewhere", rig.program.spec.digest

    async def adopt() -> object:
        return await rig.broker.pipe.call(load("adopt"), "r", there, digest)

    rig.run(adopt())
    assert hand_on(rig, delivery, Item()) == (Ended.DONE, [])
    assert rig.raw.xlen(rig.key("work", there, "Item")) == 1


def test_what_is_kept_gets_the_buffer_that_its_commit_has_filled(rig: Rig) -> None:
    first = begun(rig)
    rig.send("r", "x1", Loose())
    (loose,) = rig.claim("w1")
    name = EventName("Loose")
    decisions = (CollectDecision(buffer="default", name=name, event=Loose(), want={name: 3}, fire=False),)
    rig.kept = []
    plan = rig.plan(loose, [Loose()], listed=False, decisions=decisions)
    assert rig.commit(plan, rig.offer(plan, "w1")) is Ended.DONE
    kept = only(tuple(rig.kept))
    assert kept.buffers["default"].counts == {"Loose": 1}
    assert hand_on(rig, first)[0] is Ended.DONE
