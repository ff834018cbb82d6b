"""Where the last entry of a feed is: in its stream, or in the record of a run that has published nothing else."""

from __future__ import annotations

import pytest

from broker_wf.broker.deliveries import Ended, Link
from broker_wf.broker.feed import FeedEntry
from broker_wf.broker.leased import Acknowledged
from broker_wf.broker.plans import EffectIds, commit_map, effect_map
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId
from broker_wf.core.outcome import Written
from broker_wf.events import Event, StopEvent
from tests.feed_entries import feed_entries
from tests.stateful.acts import begun, hand_on, status
from tests.stateful.flow import Done
from tests.stateful.rig import Rig

RUN = RunId("r")


ENDS = {
    "completed": ("StopEvent", "begin", "1 w1"),
    "failed": ("F", "begin", "1 w1"),
    "cancelled": ("!cancelled", "", ""),
}
"""Name, step and publisher of the entry that ends a run."""


def end(rig: Rig, how: str) -> None:
    """The run ends, one way or another."""
    delivery = begun(rig)
    if how == "completed":
        assert hand_on(rig, delivery, StopEvent(result=1)) is Ended.DONE
    elif how == "failed":
        assert rig.fail(delivery, None) is Ended.DONE
    else:
        rig.run(rig.broker.runs.cancel(RUN))


def commit_and_publish(rig: Rig, delivery: Delivery, event: Event) -> Ended:
    """The run ends with the commit that publishes what the step has published."""
    codec, plan = rig.program.codec, rig.plan(delivery, [StopEvent(result=1)], listed=False)
    effects = [effect_map(Written(event=event), EffectIds(delivery), codec)]
    link, acked = Link(plan, commit_map(plan, effects, codec)), Acknowledged(rig.broker.admission)
    return rig.run(rig.broker.deliveries.commit(link, effects, acked, busy=False, sent=lambda: None))


def read(rig: Rig, after: int = 0) -> list[FeedEntry]:
    return rig.run(rig.broker.feed.read(RUN, after))


@pytest.mark.parametrize("how", sorted(ENDS))
def test_of_a_run_that_publishes_nothing_the_end_is_in_its_record(rig: Rig, how: str) -> None:
    end(rig, how)
    assert not rig.raw.exists(rig.key("feed", RUN))
    (entry,) = read(rig)
    assert rig.run(rig.broker.feed.last(RUN, 5)) == [entry]
    assert read(rig, after=1) == []
    record = rig.raw.hgetall(rig.key("run", RUN))
    assert (entry.name, entry.step, entry.by) == ENDS[how]
    assert (entry.seq, entry.at_ms) == (1, int(record[b"ended_ms"]))
    assert entry.payload == {"completed": record.get(b"result"), "failed": b"p", "cancelled": b""}[how]
    assert status(rig) == how


def test_a_run_that_has_published_something_ends_in_its_stream(rig: Rig) -> None:
    delivery = begun(rig)
    rig.effects(delivery, [Written(event=Done())])
    assert hand_on(rig, delivery, StopEvent(result=1)) is Ended.DONE
    assert [entry.name for entry in read(rig)] == ["Done", "StopEvent"]
    assert rig.raw.xlen(rig.key("feed", RUN)) == 2
    assert rig.raw.pttl(rig.key("feed", RUN)) > 0


def test_what_a_commit_publishes_with_the_end_is_in_one_stream_with_it(rig: Rig) -> None:
    assert commit_and_publish(rig, begun(rig), Done()) is Ended.DONE
    assert [entry.name for entry in read(rig)] == ["Done", "StopEvent"]


def test_a_run_that_is_streamed_ends_in_its_stream(rig: Rig) -> None:
    delivery = begun(rig)
    assert rig.run(rig.broker.feed.stream(RUN))
    assert rig.run(rig.broker.feed.stream(RUN))
    assert hand_on(rig, delivery, StopEvent(result=1)) is Ended.DONE
    assert [fields[b"t"] for _, fields in feed_entries(rig.raw, rig.broker.keys, RUN)] == [b"StopEvent"]
    assert rig.raw.xlen(rig.key("feed", RUN)) == 1
    assert rig.raw.pttl(rig.key("feed", RUN)) > 0


def test_who_begins_to_stream_a_run_that_has_ended_is_told_that(rig: Rig) -> None:
    assert not rig.run(rig.broker.feed.stream(RUN))
    assert not rig.raw.exists(rig.key("run", RUN))
    assert hand_on(rig, begun(rig), StopEvent(result=1)) is Ended.DONE
    before = rig.raw.hgetall(rig.key("run", RUN))
    assert not rig.run(rig.broker.feed.stream(RUN))
    assert rig.raw.hgetall(rig.key("run", RUN)) == before


def test_a_large_result_is_kept_once(rig: Rig) -> None:
    """It is the payload of the last entry too."""
    assert hand_on(rig, begun(rig), StopEvent(result="x" * 100_000)) is Ended.DONE
    record = rig.raw.hgetall(rig.key("run", RUN))
    assert len(record[b"last"]) < 100
    assert read(rig)[0].payload == record[b"result"]
