"""A run as the process that waits for it holds it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from broker_wf.broker.broker import Broker
from broker_wf.broker.runs import RunState
from broker_wf.broker.snapshots import RunExport
from broker_wf.context.saved import Saved
from broker_wf.context.state_store import DictState
from broker_wf.core.ids import EventId, RunId, StepName
from broker_wf.core.loop_turns import own_turn
from broker_wf.core.routing import Router
from broker_wf.core.tasks import outcome_of
from broker_wf.driver.client import Client
from broker_wf.driver.endings import events_of, is_last, stop_event_of
from broker_wf.driver.run_state import RunStateStore
from broker_wf.driver.saving import NotBegun, saved_context
from broker_wf.errors import ContextStateError, WorkflowRuntimeError
from broker_wf.events import Event, InternalDispatchEvent, StopEvent
from broker_wf.wire.codec import Codec

log = logging.getLogger("broker_wf")

T = TypeVar("T")

Joined = tuple[Client, asyncio.Future[RunState]]
Launch = Callable[[Callable[[], bool]], Awaitable[Joined]]
"""Takes what says, when the run is submitted, whether it is to be exposed from its first moment on."""


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One reader of the run's events.

    Attributes:
        active: it has begun and has not ended.
    """

    expose_internal: bool
    after: int | None
    active: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """How far the events were read: all of the entries up to ``seq``, and ``part`` events of the next one."""

    seq: int = 0
    part: int = 0


@dataclass(slots=True, kw_only=True)
class FollowedRun:
    """One run, followed. Also the backend of ``handler.ctx``.

    Attributes:
        launch: connects, and submits the run or attaches to it.
        begins: how the run begins, for those who write it down before the server has it; None: elsewhere.
        reached: the namespace the run was submitted to; None: it has not been, yet.
    """

    run_id: RunId
    router: Router
    codec: Codec
    launch: Launch
    begins: Callable[[], NotBegun] | None = None
    reached: Broker | None = None
    _client: asyncio.Future[Joined] | None = None
    _end: asyncio.Future[StopEvent] | None = None
    _task: asyncio.Task[None] | None = None
    _place: _Place = _Place()
    _readings: WeakKeyDictionary[AsyncGenerator[Event, None], _Reading] | None = None
    _streamed_out: bool = False
    _wants_all: bool = False
    _exposed: bool = False
    _was: RunExport | None = None
    _sends: list[asyncio.Task[None]] = field(default_factory=list["asyncio.Task[None]"])

    def begin(self) -> None:
        """Start to submit and to follow. Returns at once."""
        loop = asyncio.get_running_loop()
        client, end = self._client, self._end = loop.create_future(), loop.create_future()
        self._task = loop.create_task(self._live(client, end))

    @property
    def end(self) -> asyncio.Future[StopEvent]:
        """The stop event, or why there is none."""
        assert self._end is not None
        return self._end

    async def broker(self) -> Broker:
        """The namespace, once the run was accepted."""
        return (await self._joined())[0].broker

    @property
    def store(self) -> RunStateStore:
        """See ``RunBackend``."""
        return RunStateStore(
            run_id=self.run_id,
            state_type=self._state_type,
            codec=self.codec,
            broker=self.broker,
        )

    @property
    def is_running(self) -> bool:
        """See ``RunBackend``."""
        return not self.end.done()

    def stop_event(self) -> StopEvent:
        """See ``RunBackend``."""
        if not self.end.done() or self.end.cancelled() or self.end.exception() is not None:
            raise WorkflowRuntimeError(f"Workflow run {self.run_id} is not complete")
        return self.end.result()

    def send(self, event: Event, step: str | None) -> None:
        """See ``RunBackend``. The event is encoded now, and on its way soon."""
        route = self.router.sent_route(type(event), None if step is None else StepName(step))
        encoded = self.codec.encode_event(event)
        event_id = EventId(f"x{secrets.token_hex(8)}")
        before = self._sends[-1] if self._sends else None

        async def hand_over() -> None:
            if before is not None:
                await asyncio.wait([before])
            broker = await self.broker()
            await broker.runs.send(self.run_id, event_id, event, encoded, route)

        task = asyncio.get_running_loop().create_task(hand_over())
        task.add_done_callback(self._say_if_refused)
        self._sends.append(task)

    def _say_if_refused(self, task: asyncio.Task[None]) -> None:
        """Nobody may ever ask what became of an event that was sent without waiting."""
        if task in self._sends and not task.cancelled() and (error := task.exception()) is not None:
            log.warning("an event was sent in vain: %s", error)

    async def running_steps(self) -> list[str]:
        """See ``RunBackend``."""
        broker = await self.broker()
        return await broker.runs.running_steps(self.run_id)

    async def sent(self) -> None:
        """Wait until every event that was sent has arrived.

        Raises:
            RunEndedError, RunNotFoundError: the run takes no events any more.
        """
        waiting, self._sends = self._sends, []
        for task in waiting:
            await task

    async def cancel(self) -> None:
        """End the run as cancelled, unless it has ended."""
        broker = await self.broker()
        self._was = await broker.snapshots.cancel(self.run_id) or self._was

    def saved(self, *, include_state: bool) -> Saved:
        """See ``RunBackend``. A run that was cancelled here is written down as it was then."""
        if self._was is None and not self._is_known and self.begins is not None:
            return self.begins().saved(include_state=include_state)
        return saved_context(self.run_id, self._export(), self.codec, self._state_type, include_state=include_state)

    @property
    def _is_known(self) -> bool:
        """Whether it was accepted, or refused."""
        return self._client is not None and self._client.done()

    @property
    def _state_type(self) -> type[BaseModel]:
        return self.router.spec.state_type or DictState

    def _export(self) -> RunExport:
        if self._was is not None:
            return self._was
        if self._client is None or not self._client.done():
            raise ContextStateError(f"run {self.run_id} was not found yet: await something of the handler first")
        export = self._client.result()[0].broker.snapshots.read_now(self.run_id)
        if export is None:
            raise ContextStateError(f"run {self.run_id} is not kept any more, so there is nothing to write down")
        return export

    def events(self, *, expose_internal: bool, after: int | None = None) -> AsyncGenerator[Event, None]:
        """The run's events from the first one on, or from where the last reader left; until the one that ends it.

        A reader has left once nobody holds its generator: whoever breaks out of a loop does not close it.

        Args:
            expose_internal: the engine's own events too. It publishes them from the moment somebody asks for them;
                asked within one turn of the loop after ``run()``, from the first one on.
            after: a cursor to read from instead: the sequence number of the last event seen.

        Raises (when iterated):
            WorkflowRuntimeError: a reader before has seen them all.
            EventsTrimmedError: the feed no longer has the next one.
        """
        self._wants_all |= expose_internal
        reading = _Reading(expose_internal=expose_internal, after=after)
        events = self._events(reading)
        if self._readings is None:
            self._readings = WeakKeyDictionary()
        self._readings[events] = reading
        return events

    async def _events(self, reading: _Reading) -> AsyncGenerator[Event, None]:
        after = reading.after
        if after is None and self._streamed_out:
            raise WorkflowRuntimeError("All the streamed events have already been consumed.")
        continued = after is None and not any(one.active for one in (self._readings or {}).values())
        begin = self._place if continued else _Place(after or 0)
        reading.active = True
        try:
            async for event, place in self._read(begin, expose_internal=reading.expose_internal):
                if is_last(event):
                    event = await self._settled(event)
                if continued:
                    self._place = place
                    self._streamed_out = is_last(event)
                if reading.expose_internal or not isinstance(event, InternalDispatchEvent):
                    yield event
                if is_last(event):
                    return
        finally:
            reading.active = False

    async def _read(self, place: _Place, *, expose_internal: bool) -> AsyncGenerator[tuple[Event, _Place], None]:
        """Each event behind the place, and the place behind it."""
        client, _ = await self._joined()
        if expose_internal and not self._exposed:
            await client.broker.runs.expose(self.run_id)
            self._exposed = True
        async for entry in client.events(self.run_id, place.seq):
            blobs = await client.broker.blobs.fetch(self.run_id, (entry.payload,))
            events = events_of(entry, self.codec, blobs)
            for part in range(place.part, len(events)):
                is_whole = part + 1 == len(events)
                yield events[part], _Place(entry.seq) if is_whole else _Place(entry.seq - 1, part + 1)
            place = _Place(entry.seq)

    async def _settled(self, last: Event) -> Event:
        """The event that ends the run, once nothing can take it back, if that was asked for."""
        broker = await self.broker()
        if broker.pipe.sealing is None:
            return last
        await asyncio.wait([self.end])
        ended_well = not self.end.cancelled() and self.end.exception() is None
        return self.end.result() if ended_well else last

    async def _live(self, client: asyncio.Future[Joined], end: asyncio.Future[StopEvent]) -> None:
        """One task for all of it: a driver may hold ten thousand of them."""
        try:
            stop = await self._course(client)
        except asyncio.CancelledError:
            client.cancel()
            end.cancel()
            raise
        except BaseException as error:
            _fail(client, error)
            _fail(end, error)
            if not isinstance(error, Exception):
                raise
        else:
            if not end.done():
                end.set_result(stop)

    async def _course(self, client: asyncio.Future[Joined]) -> StopEvent:
        # Tasks that were made right after run() may still ask for all events from the first one on.
        await own_turn()
        joined = await self.launch(self._is_to_be_exposed)
        broker = self.reached = joined[0].broker
        client.set_result(joined)
        state = await joined[1]
        return stop_event_of(state, self.codec, await broker.blobs.fetch(self.run_id, (state.result,)))

    def _is_to_be_exposed(self) -> bool:
        return self._wants_all

    async def _joined(self) -> Joined:
        assert self._client is not None
        return await outcome_of(self._client)


def _fail(waited_for: asyncio.Future[T], error: BaseException) -> None:
    """Nobody has to await a handler; an error nobody asks for is no accident."""
    if not waited_for.done():
        waited_for.set_exception(error)
        waited_for.exception()
