from __future__ import annotations

from broker_wf.broker.feed import FeedEntry
from broker_wf.broker.packing import pack
from broker_wf.inspector.records import (
    Tally,
    delivery_view,
    done_execution,
    error_view,
    event_views,
    live_execution,
    record_of,
)
from broker_wf.inspector.views import as_dict
from broker_wf.wire.blobs import NOTHING_FETCHED


def entry(name: str, record: dict[str, object] | None = None) -> FeedEntry:
    payload = b"" if record is None else pack(record)
    return FeedEntry(seq=7, name=name, payload=payload, step="work", at_ms=1_000)


def test_a_step_that_failed_is_told_with_its_step_and_attempts() -> None:
    raw = pack({"type": "builtins.KeyError", "message": "'x'", "traceback": "tb", "step": "work", "attempts": 3})
    found = error_view("failed", raw)
    assert found is not None
    assert (found.type, found.message, found.step, found.attempts) == ("builtins.KeyError", "'x'", "work", 3)
    assert found.traceback == "tb"


def test_a_run_that_ended_well_or_goes_on_has_no_error() -> None:
    assert error_view("completed", b"") is None
    assert error_view("running", b"") is None


def test_what_the_engine_ended_is_told_in_words() -> None:
    told = {
        "timed_out": error_view("timed_out", b"!" + pack({"kind": "timeout", "timeout_ms": 1500, "steps": ["a", "b"]})),
        "poison": error_view("failed", b"!" + pack({"kind": "poison", "step": "s", "delivery": "0@s", "crashes": 3})),
        "stuck": error_view("failed", b"!" + pack({"kind": "stuck", "collections": ["0@s"]})),
        "orphaned": error_view("failed", b"!" + pack({"kind": "orphaned"})),
        "new": error_view("failed", b"!" + pack({"kind": "of a later version"})),
        "cancelled": error_view("cancelled", b""),
    }
    messages = {name: found.message for name, found in told.items() if found is not None}
    assert messages["timed_out"] == "the run took longer than 1.5 seconds; active steps: a, b"
    assert "given up after 3 workers died" in messages["poison"]
    assert "0@s" in messages["stuck"]
    assert "nobody resumed" in messages["orphaned"]
    assert messages["new"] == "the engine ended the run: of a later version"
    assert messages["cancelled"] == "the run was cancelled"


def test_a_timeout_without_active_steps_says_so() -> None:
    found = error_view("timed_out", b"!" + pack({"kind": "timeout", "timeout_ms": 45_000, "steps": []}))
    assert found is not None
    assert found.message.endswith("no step was active")


def test_endings_by_the_engine_have_the_names_of_their_events() -> None:
    (cancelled,) = event_views(entry("!cancelled"), NOTHING_FETCHED)
    (timed_out,) = event_views(
        entry("!timed_out", {"kind": "timeout", "timeout_ms": 2000, "steps": ["a"]}), NOTHING_FETCHED
    )
    (poison,) = event_views(
        entry("!poison", {"kind": "poison", "step": "s", "delivery": "0@s", "crashes": 3}), NOTHING_FETCHED
    )
    assert (cancelled.type, cancelled.value) == ("WorkflowCancelledEvent", {})
    assert (timed_out.type, timed_out.value) == ("WorkflowTimedOutEvent", {"timeout": 2.0, "active_steps": ["a"]})
    assert poison.type == "WorkflowFailedEvent"


def test_a_delivery_that_was_leased_before_shows_no_worker_while_it_waits() -> None:
    record = {"st": "d", "s": "work", "t": "Item", "a": 2, "c": 1, "b": 5, "w": "w1", "x": 7, "g": pack({"type": "E"})}
    found = delivery_view("0@work", record_of(pack(record)), 9_000)
    assert (found.state, found.attempt, found.crashes, found.worker, found.started_at) == ("delayed", 2, 1, None, None)
    assert found.due_at is not None
    assert found.last_error is not None
    assert live_execution(found).state == "delayed"


def test_a_done_mark_is_a_row_of_the_waterfall() -> None:
    row = as_dict(done_execution("0@work", pack(["work", "w1", 1_000, 3_500, 2, "ok", "nonce"])))
    assert row == {
        "delivery": "0@work",
        "step": "work",
        "state": "done",
        "outcome": "ok",
        "attempt": 2,
        "worker": "w1",
        "started_at": "1970-01-01T00:00:01.000Z",
        "ended_at": "1970-01-01T00:00:03.500Z",
    }


def test_deliveries_are_counted_by_step_and_state() -> None:
    tally = Tally()
    tally.add("queued", ["b", "b"])
    tally.add("done", ["a"])
    assert [(one.step, one.queued, one.done) for one in tally.views()] == [("a", 0, 1), ("b", 2, 0)]
