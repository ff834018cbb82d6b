"""What stands behind the Context of a step."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import cast

from broker_wf.broker.packing import unpack_text
from broker_wf.context.state_store import DictState
from broker_wf.core.delivery import BufferSnapshot, Delivery
from broker_wf.core.ids import DeliveryId, EventName, StepName
from broker_wf.core.outcome import CollectDecision, Sent, Undecided, Written
from broker_wf.engine.effects import Effects
from broker_wf.engine.invocation import BufferNeeded
from broker_wf.engine.program import Program
from broker_wf.engine.progress import Progress
from broker_wf.engine.site import Site
from broker_wf.engine.step_state import StepState
from broker_wf.engine.verbose import say_added, say_published
from broker_wf.engine.waits import StepWaits, Wanted, check_async
from broker_wf.events import Event, ProgressEvent
from broker_wf.retry_policy import RetryInfo
from broker_wf.wire.blobs import Fetched
from broker_wf.wire.remote_errors import decode_error

log = logging.getLogger("broker_wf.step")

_EMPTY = BufferSnapshot(counts={}, items=None)


@dataclass(slots=True, kw_only=True)
class StepContext:
    """Effects of one execution, and what ``collect_events`` decided in it.

    Attributes:
        buffers: what collect_events decides on.
        blobs: what the events in them refer to.
        decisions: what it has decided; the commit verifies them.
        told: its progress, once it has told of it.
    """

    program: Program
    site: Site
    delivery: Delivery
    buffers: Mapping[str, BufferSnapshot]
    blobs: Fetched
    effects: Effects
    decisions: list[CollectDecision] = field(default_factory=list[CollectDecision])
    told: Progress | None = None
    _store: StepState | None = None
    _waits: StepWaits | None = None

    @property
    def waits(self) -> StepWaits:
        """What it waits for. Made when it is asked for, like the store: most executions need neither."""
        if self._waits is None:
            self._waits = StepWaits(program=self.program, site=self.site, delivery=self.delivery)
        return self._waits

    @property
    def idempotency_key(self) -> str:
        """See ``ContextBackend``."""
        return f"{self.delivery.run_id}/{self.delivery.id}"

    def wait(
        self,
        event_type: type[Event],
        waiter_event: Event | None,
        waiter_id: str | None,
        requirements: Mapping[str, object],
        timeout_s: float | None,
    ) -> Coroutine[object, object, Event]:
        """See ``ContextBackend``."""
        check_async(self.program, self.delivery, "wait_for_event")
        return self.waits.wait(
            Wanted(
                event_type=event_type,
                waiter_event=waiter_event,
                waiter_id=waiter_id,
                requirements=requirements,
                timeout_s=timeout_s,
            )
        )

    def once(
        self, key: str, function: Callable[..., object], arguments: tuple[object, ...]
    ) -> Coroutine[object, object, object]:
        """See ``ContextBackend``."""
        check_async(self.program, self.delivery, "once")
        return self.waits.once(key, function, arguments)

    @property
    def store(self) -> StepState:
        """The run's state."""
        if self._store is None:
            self._store = StepState(
                state_type=self.program.spec.state_type or DictState,
                site=self.site,
                delivery=self.delivery,
                codec=self.effects.codec,
                effects=self.effects,
            )
        return self._store

    async def drop(self) -> None:
        """Forget what this execution holds, because it is run again."""
        if self._store is not None:
            await self._store.drop()

    def send(self, event: Event, step: str | None) -> None:
        """See ``ContextBackend``."""
        route = self.program.router.sent_route(type(event), None if step is None else StepName(step))
        if route.into:
            log.warning(
                "step %s sent %s, which %s cannot join: what is sent by call belongs to no fan-out",
                self.delivery.step,
                route.name,
                ", ".join(route.into),
            )
        self.effects.put(Sent(event=event, route=route))
        if self.program.verbose:
            say_added(event, step)

    def write(self, event: Event) -> None:
        """See ``ContextBackend``."""
        self.effects.put(Written(event=event))
        if self.program.verbose:
            say_published(event)

    def progress(self, done: float, total: float | None, text: str) -> None:
        """See ``ContextBackend``."""
        if self.told is None:
            self.told = Progress(self.effects)
        self.told.tell(ProgressEvent(step=str(self.delivery.step), done=done, total=total, text=text))

    def retry_info(self) -> RetryInfo:
        """See ``ContextBackend``."""
        delivery = self.delivery
        if delivery.last_error is None:
            return RetryInfo(0, 0.0, None, None)
        record = unpack_text(delivery.last_error)
        failed_ms = cast(int, record.get("failed_ms", delivery.started_ms))
        return RetryInfo(
            retry_number=delivery.attempt - 1,
            elapsed_seconds=max(0, delivery.started_ms - delivery.first_started_ms) / 1000,
            last_exception=decode_error(record, self.program.codec.registry.errors),
            last_failed_at=datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=failed_ms),
        )

    def collect(self, event: Event, expected: list[type[Event]], buffer_id: str | None) -> list[Event] | None:
        """See ``ContextBackend``. Decides on what the claim brought; what follows is held until that is verified."""
        if not expected:
            return []
        if type(event) not in expected:
            return None
        buffer = buffer_id or "default"
        name_of = self.program.spec.name_of
        want = Counter(name_of(cls) for cls in expected)
        own = name_of(type(event))
        snapshot = self.buffers.get(buffer, _EMPTY)
        missing = {n for n, k in want.items() if snapshot.counts.get(n, 0) + (n == own) < k}
        if missing:
            self._decide(buffer, event, own, want, {}, fire=False)
            return None
        taken = self._taken(buffer, snapshot, want, own)
        used = {name: (items[0][0], len(items)) for name, items in taken.items() if items}
        self._decide(buffer, event, own, want, used, fire=True)
        return self._in_order(event, expected, taken)

    def _taken(
        self, buffer: str, snapshot: BufferSnapshot, want: Mapping[EventName, int], own: EventName
    ) -> dict[EventName, Sequence[tuple[DeliveryId, bytes]]]:
        need = {name: count - (name == own) for name, count in want.items()}
        if snapshot.items is None:
            if any(need.values()):
                raise BufferNeeded(Undecided(buffer=buffer, want=dict(want)))
            return {}
        items = snapshot.items
        return {name: items.get(name, ())[:count] for name, count in need.items() if count}

    def _in_order(
        self,
        event: Event,
        expected: list[type[Event]],
        taken: Mapping[EventName, Sequence[tuple[DeliveryId, bytes]]],
    ) -> list[Event]:
        name_of, decode = self.program.spec.name_of, self.effects.codec.decode_event
        queues = {name: [decode(payload, self.blobs) for _, payload in items] for name, items in taken.items()}
        queues.setdefault(name_of(type(event)), []).append(event)
        return [queues[name_of(cls)].pop(0) for cls in expected]

    def _decide(
        self,
        buffer: str,
        event: Event,
        own: EventName,
        want: Mapping[EventName, int],
        used: Mapping[EventName, tuple[DeliveryId, int]],
        *,
        fire: bool,
    ) -> None:
        self.effects.hold()
        self.decisions.append(
            CollectDecision(buffer=buffer, name=own, event=event, want=dict(want), fire=fire, used=used)
        )
