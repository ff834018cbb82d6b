"""What the routes call: the workflows whose code is here, and the namespace. No HTTP in it, and no state."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import cast

from broker_wf.broker.feed import FeedEntry
from broker_wf.broker.runs import RunState
from broker_wf.context.context import Context
from broker_wf.context.state_store import DictState
from broker_wf.core.ids import EventId, RunId, StepName
from broker_wf.core.run_ids import checked_run_id
from broker_wf.driver.endings import events_of
from broker_wf.engine.program import Program
from broker_wf.errors import DecodeError, RunNotFoundError
from broker_wf.events import Event, StartEvent
from broker_wf.home import Home, home_of
from broker_wf.inspector import Inspector
from broker_wf.inspector.standing import Standing, standing_of
from broker_wf.inspector.views import EventView
from broker_wf.launching import Starting, first_state, followed, restoring, saved_run, submit
from broker_wf.server.options import ServerOptions
from broker_wf.settings import Settings
from broker_wf.workflow import Workflow

ENDED = frozenset({"completed", "failed", "cancelled", "timed_out"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A workflow whose code is here.

    Attributes:
        name: under which it is served.
        additional: classes of events that its signatures do not name.
    """

    name: str
    workflow: Workflow
    additional: tuple[type[Event], ...] = ()

    def event_classes(self) -> list[type[Event]]:
        """All classes of the steps' signatures, and the additional ones."""
        return list(dict.fromkeys((*self.workflow.events, *self.additional)))

    def readable(self) -> dict[str, type[Event]]:
        """By name, the classes that clients may send: also what the workflow's module has beside its signatures."""
        found = {cls.__name__: cls for cls in self.event_classes()}
        for cls in self.workflow.program().codec.registry.classes:
            if issubclass(cls, Event) and not cls.__module__.startswith("broker_wf."):
                found.setdefault(cls.__name__, cls)
        return found


@dataclass(slots=True, kw_only=True)
class Service:
    """A server, for one event loop.

    Attributes:
        draining: the server is about to stop: what goes on for long lets go of its connection.
    """

    settings: Settings
    options: ServerOptions
    served: dict[str, Served] = field(default_factory=dict[str, Served])
    draining: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, one: Served) -> None:
        """Serve a workflow."""
        for cls in one.additional:
            one.workflow.program().codec.registry.register(cls)
        self.served[one.name] = one

    @property
    def workflows(self) -> Mapping[str, Workflow]:
        """The workflows whose code is here, by the name that their runs carry."""
        return {one.workflow.workflow_name: one.workflow for one in self.served.values()}

    def served_as(self, workflow_name: str) -> Served | None:
        """What is served of the workflow that a run names."""
        return next((one for one in self.served.values() if one.workflow.workflow_name == workflow_name), None)

    async def home(self) -> Home:
        """The connection of the running event loop.

        Raises:
            ServerUnreachableError, ServerRefusedError, ServerStartError: there is none.
        """
        return await home_of(self.settings)

    async def inspector(self) -> Inspector:
        """Asks the namespace. Raises as :meth:`home`."""
        return Inspector((await self.home()).broker)

    async def standing(self, run_id: str) -> Standing:
        """How a run stands.

        Raises:
            RunNotFoundError: no such run.
        """
        found = await standing_of((await self.home()).broker, run_id)
        if found is None:
            raise RunNotFoundError(run_id)
        return found

    async def start(
        self,
        served: Served,
        event: StartEvent,
        run_id: str,
        saved: dict[str, object] | None,
        state: Mapping[str, bytes],
    ) -> RunId:
        """Submit a run.

        Args:
            saved: a saved context that it begins with, or goes on from; None: there is none.
            state: what it begins with otherwise: top-level keys, encoded.

        Raises:
            ValueError: no run can have such an id.
            RunConflictError, BackpressureError: it was not accepted.
            EncodeError, LimitExceededError: the start event cannot travel.
            ContextSerdeError: what was saved cannot be read.
        """
        checked, program = checked_run_id(run_id), self._program(served)
        if saved is None:
            await submit(self.settings, program, checked, event, state)
            return checked
        ctx = Context[DictState].from_dict(served.workflow, saved)
        going_on = saved_run(ctx)
        if going_on is not None:
            launch = restoring(self.settings, program, checked, going_on)
        else:
            encoded = program.codec.at(checked).encode_event(event)
            first = first_state(ctx, program, checked)
            launch = Starting(
                settings=self.settings, program=program, run_id=checked, event=event, encoded=encoded, state=first
            )
        await followed(checked, program, launch, ctx).followed.broker()
        return checked

    async def ended(self, run_id: RunId) -> RunState:
        """Wait for the end of a run.

        Raises:
            RunNotFoundError: no such run.
        """
        client = (await self.home()).client
        end = await client.attach(run_id)
        try:
            await asyncio.wait([end])
            return end.result()
        finally:
            client.follow.leave(run_id, end)

    async def send(self, served: Served, run_id: RunId, event: Event, step: str | None) -> None:
        """Hand an event to a run.

        Raises:
            WorkflowRuntimeError: no such step, or it does not take such events.
            EncodeError, LimitExceededError: the event cannot travel.
            RunNotFoundError, RunEndedError: nobody takes it any more.
        """
        program = self._program(served)
        route = program.router.sent_route(type(event), None if step is None else StepName(step))
        encoded = program.codec.at(run_id).encode_event(event)
        broker = (await self.home()).broker
        await broker.runs.send(run_id, EventId(f"x{secrets.token_hex(8)}"), event, encoded, route)

    async def entries(self, run_id: RunId, after: int) -> AsyncGenerator[FeedEntry, None]:
        """The entries of a run's feed behind a cursor, as they come, until the run's end.

        Raises:
            EventsTrimmedError: the feed no longer has the next one.
        """
        async for entry in (await self.home()).client.events(run_id, after):
            yield entry

    async def events_of(self, run_id: RunId, workflow_name: str, entry: FeedEntry) -> list[Event | EventView]:
        """The events of an entry; where their classes are not known here, what can be told of them."""
        home = await self.home()
        served = self.served_as(workflow_name)
        if served is not None:
            blobs = await home.broker.blobs.fetch(run_id, (entry.payload,))
            try:
                return list(events_of(entry, self._program(served).codec.at(run_id), blobs))
            except DecodeError:
                pass
        return list(await Inspector(home.broker).events_of(run_id, entry))

    async def result_of(self, standing: Standing) -> Event | EventView:
        """The event a run has ended with; where its class is not known here, what can be told of it.

        Raises:
            DecodeError: it cannot be read.
        """
        at = standing.ended_at or standing.created_at
        entry = FeedEntry(seq=0, name="StopEvent", payload=standing.result, step="", at_ms=int(at.timestamp() * 1000))
        (event,) = await self.events_of(standing.run_id, standing.workflow, entry)
        value = event.value if isinstance(event, EventView) else None
        if isinstance(value, dict) and "undecodable" in value:
            raise DecodeError("the run's result", str(cast("dict[str, object]", value)["undecodable"]))
        return event

    def _program(self, served: Served) -> Program:
        return served.workflow.program(is_open=self.settings.url is None)
