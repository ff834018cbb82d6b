"""The client of programs without an event loop: the same calls, which wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TypeVar, overload

from typing_extensions import Self

from broker_wf.again import Again
from broker_wf.client.asking import AsyncClient, AsyncRun
from broker_wf.client.ports import Fields, Health, RunPage
from broker_wf.core.run_options import NO_OPTIONS, RunOptions
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.inspector.views import (
    DeadLetterView,
    EventView,
    ExecutionView,
    LogView,
    RunView,
    WorkerView,
    WorkflowView,
)
from broker_wf.workflow import Workflow

T = TypeVar("T")
StartT = TypeVar("StartT", bound=StartEvent)
StopT = TypeVar("StopT", bound=StopEvent)


class _Loop:
    """An event loop in a thread of its own; any thread may wait for what it does."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker-wf-client", daemon=True)
        self._thread.start()

    def wait(self, doing: Coroutine[object, object, T]) -> T:
        """What a coroutine gives; it is cancelled where the wait is interrupted."""
        future = asyncio.run_coroutine_threadsafe(doing, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass(frozen=True, slots=True)
class Run:
    """A run, wherever it executes: as ``AsyncRun``, whose methods say what these promise and raise."""

    _loop: _Loop
    _run: AsyncRun

    @property
    def id(self) -> str:
        """Its whole id."""
        return self._run.id

    def result(self, timeout_s: float | None = None) -> object:
        """Wait for its result."""
        return self._loop.wait(self._run.result(timeout_s))

    def events(self, after: int = 0) -> Generator[EventView, None, None]:
        """What it publishes behind a sequence number, until its end."""
        events = self._run.events(after)
        try:
            while (event := self._loop.wait(_next(events.__anext__()))) is not None:
                yield event
        finally:
            self._loop.wait(events.aclose())

    def send(self, event: Event | str, values: Fields | None = None, *, step: str | None = None) -> None:
        """Hand it an event."""
        self._loop.wait(self._run.send(event, values, step=step))

    def cancel(self) -> str:
        """End it."""
        return self._loop.wait(self._run.cancel())

    def rerun(self, from_step: str | None = None, *, run_id: str | None = None) -> Run:
        """Do it again as another run."""
        return Run(self._loop, self._loop.wait(self._run.rerun(from_step, run_id=run_id)))

    def show(self) -> RunView:
        """How it stands."""
        return self._loop.wait(self._run.show())

    def steps(self) -> list[ExecutionView]:
        """Its executions."""
        return self._loop.wait(self._run.steps())

    def logs(self, limit: int = 1_000) -> list[LogView]:
        """What its steps have logged."""
        return self._loop.wait(self._run.logs(limit))


class Client:
    """Starts and watches runs, from any thread: as ``AsyncClient``, whose methods say what these promise and raise."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        namespace: str | None = None,
        patience_s: float = 30.0,
    ) -> None:
        """As ``AsyncClient``."""
        self._asks = AsyncClient(url, token=token, namespace=namespace, patience_s=patience_s)
        self._loop = _Loop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections. Runs go on."""
        try:
            self._loop.wait(self._asks.close())
        finally:
            self._loop.close()

    def submit(
        self,
        workflow: str | Workflow,
        event: StartEvent | Fields | None = None,
        *,
        run_id: str | None = None,
        options: RunOptions = NO_OPTIONS,
    ) -> Run:
        """Start a run."""
        return Run(self._loop, self._loop.wait(self._asks.submit(workflow, event, run_id=run_id, options=options)))

    @overload
    def run(
        self,
        workflow: Workflow[StartT, StopT],
        event: StartT | None = None,
        *,
        run_id: str | None = None,
        timeout_s: float | None = None,
        options: RunOptions = NO_OPTIONS,
    ) -> StopT: ...

    @overload
    def run(
        self,
        workflow: str,
        event: StartEvent | Fields | None = None,
        *,
        run_id: str | None = None,
        timeout_s: float | None = None,
        options: RunOptions = NO_OPTIONS,
    ) -> object: ...

    def run(
        self,
        workflow: str | Workflow,
        event: StartEvent | Fields | None = None,
        *,
        run_id: str | None = None,
        timeout_s: float | None = None,
        options: RunOptions = NO_OPTIONS,
    ) -> object:
        """Start a run and wait for its result."""
        if isinstance(workflow, str):
            running = self._asks.run(workflow, event, run_id=run_id, timeout_s=timeout_s, options=options)
            return self._loop.wait(running)
        given = workflow.start_event_class.model_validate(event) if isinstance(event, dict) else event
        return self._loop.wait(self._asks.run(workflow, given, run_id=run_id, timeout_s=timeout_s, options=options))

    def attach(self, run_id: str) -> Run:
        """A run that somebody has started."""
        return Run(self._loop, self._loop.wait(self._asks.attach(run_id)))

    def runs(
        self,
        workflow: str | None = None,
        status: str | None = None,
        *,
        since: datetime | None = None,
        q: str | None = None,
        tags: Mapping[str, str] | None = None,
        error: str | None = None,
        longer_than_s: float | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Runs that fit all that is given, newest first, a page at a time."""
        found = self._asks.runs(
            workflow,
            status,
            since=since,
            q=q,
            tags=tags,
            error=error,
            longer_than_s=longer_than_s,
            limit=limit,
            cursor=cursor,
        )
        return self._loop.wait(found)

    def workers(self) -> list[WorkerView]:
        """The workers that are alive."""
        return self._loop.wait(self._asks.workers())

    def workflows(self) -> list[WorkflowView]:
        """The workflows that are known, with their load."""
        return self._loop.wait(self._asks.workflows())

    def dead_letters(self, limit: int = 100) -> list[DeadLetterView]:
        """What was given up on, newest first."""
        return self._loop.wait(self._asks.dead_letters(limit))

    def retry_dead_letters(self, ids: Sequence[str]) -> list[Again]:
        """Let the runs of dead letters go on."""
        return self._loop.wait(self._asks.retry_dead_letters(ids))

    def drop_dead_letters(self, ids: Sequence[str]) -> int:
        """Forget dead letters."""
        return self._loop.wait(self._asks.drop_dead_letters(ids))

    def health(self) -> Health:
        """Whether runs can be started and asked for."""
        return self._loop.wait(self._asks.health())


async def _next(coming: Coroutine[object, object, EventView]) -> EventView | None:
    try:
        return await coming
    except StopAsyncIteration:
        return None
