"""The client of programs with an event loop."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import TypeVar, cast, overload

from typing_extensions import Self

from broker_wf.again import Again
from broker_wf.client.connecting import connected
from broker_wf.client.ports import Fields, Health, RunPage, Runs, Transport, values_of
from broker_wf.core.run_ids import checked_run_id, new_run_id
from broker_wf.core.run_options import NO_OPTIONS, RunOptions
from broker_wf.errors import RemoteError, WorkflowCancelledByUser, WorkflowTimeoutError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.inspector.searching import RunFilter
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

StartT = TypeVar("StartT", bound=StartEvent)
StopT = TypeVar("StopT", bound=StopEvent)


@dataclass(frozen=True, slots=True)
class AsyncRun:
    """A run, wherever it executes.

    Attributes:
        id: its whole id.
    """

    _runs: Runs
    id: str

    async def result(self, timeout_s: float | None = None) -> object:
        """Wait for its result: plain data; bare of a plain ``StopEvent``, else the stop event's fields.

        Args:
            timeout_s: how long to wait; the run goes on after that.

        Raises:
            TimeoutError: it has not ended in time.
            WorkflowTimeoutError, WorkflowCancelledByUser: it ended so.
            RemoteError: it failed; has the class, the text and the traceback of what its step raised.
            RunNotFoundError: there is no such run.
        """
        await asyncio.wait_for(self._runs.ended(self.id), timeout_s)
        return result_of(await self._runs.show(self.id))

    def events(self, after: int = 0) -> AsyncGenerator[EventView, None]:
        """What it publishes, from the first event on, until its end; any number may read.

        A connection that is lost is made again, and goes on behind the last event that was seen.

        Args:
            after: the sequence number of the last event that was seen.

        Raises (when iterated):
            EventsTrimmedError: the next one is not kept any more.
            RunNotFoundError: there is no such run.
        """
        return self._runs.events(self.id, after)

    async def send(self, event: Event | str, values: Fields | None = None, *, step: str | None = None) -> None:
        """Hand it an event, once however often the connection is lost meanwhile.

        Args:
            event: an instance, or the name of its class.
            values: its fields, if only the class is named.
            step: the only one it is for.

        Raises:
            RunNotFoundError, RunEndedError: nobody takes it any more. Where the answer of a server was lost, it may be
                this very event that has ended the run.
        """
        name = event if isinstance(event, str) else type(event).__name__
        given = values_of(values if isinstance(event, str) else event)
        await self._runs.send(self.id, name, given, step, secrets.token_hex(8))

    async def cancel(self) -> str:
        """End it. Returns ``cancelled``, or how it had ended before.

        Raises:
            RunNotFoundError: there is no such run.
        """
        return await self._runs.cancel(self.id)

    async def rerun(self, from_step: str | None = None, *, run_id: str | None = None) -> AsyncRun:
        """Do it again as another run: whole, or from a step on.

        Args:
            from_step: where it was not finished, it goes on from all that was not. Otherwise that step is executed
                again, with what comes of it, and nothing else that was finished.
            run_id: of the new run.

        Raises:
            NothingToRerunError: it cannot be done again, or not from there.
            RunNotFoundError: there is no such run.
        """
        made = checked_run_id(run_id or new_run_id())
        await self._runs.rerun(self.id, from_step, made)
        return AsyncRun(self._runs, made)

    async def show(self) -> RunView:
        """How it stands. Raises RunNotFoundError."""
        return await self._runs.show(self.id)

    async def steps(self) -> list[ExecutionView]:
        """Its executions in the order of their starts, then what waits. Raises RunNotFoundError."""
        return await self._runs.steps(self.id)

    async def logs(self, limit: int = 1_000) -> list[LogView]:
        """What its steps have logged, oldest first. Raises RunNotFoundError."""
        return await self._runs.logs(self.id, limit)


class AsyncClient:
    """Starts and watches runs, for one event loop; ``async with`` opens and closes it."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        namespace: str | None = None,
        patience_s: float = 30.0,
    ) -> None:
        """Say where to; nothing is asked yet.

        Args:
            url: ``http://`` or ``https://`` of a server, with its root path; or what a workflow's ``broker=`` takes:
                ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://``, ``bundled://``. None: what
                ``configure()`` and the environment say.
            token: to be shown to an HTTP server.
            namespace: at Redis; an HTTP server has its own.
            patience_s: how long a server that does not answer is asked again.
        """
        self._make = lambda: connected(url, token, namespace, patience_s)
        self._opening: asyncio.Task[Transport] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections. Runs go on."""
        opening, self._opening = self._opening, None
        if opening is not None and (await asyncio.wait([opening]))[0] and opening.exception() is None:
            await opening.result().fleet.close()

    async def submit(
        self,
        workflow: str | Workflow,
        event: StartEvent | Fields | None = None,
        *,
        run_id: str | None = None,
        options: RunOptions = NO_OPTIONS,
    ) -> AsyncRun:
        """Start a run, once however often the connection is lost meanwhile.

        Args:
            workflow: its name, or the workflow itself.
            event: the start event, or its fields.
            run_id: the same id with the same fields is the run there is. None: a new one.
            options: its tags, its delay and the like.

        Raises:
            WorkflowNotFoundError: no workflow of this name is known there.
            RunConflictError: the id belongs to a run that began otherwise.
            BackpressureError: no new runs are taken now.
            RunOptionError: the workflow has no use for one of the options.
            ServerUnreachableError, ServerRefusedError, RequestRefusedError: it was not accepted.
        """
        name = workflow if isinstance(workflow, str) else workflow.workflow_name
        chosen, runs = checked_run_id(run_id or new_run_id()), (await self._transport()).runs
        await runs.submit(name, values_of(event), chosen, options)
        return AsyncRun(runs, chosen)

    @overload
    async def run(
        self,
        workflow: Workflow[StartT, StopT],
        event: StartT | None = None,
        *,
        run_id: str | None = None,
        timeout_s: float | None = None,
        options: RunOptions = NO_OPTIONS,
    ) -> StopT: ...

    @overload
    async def run(
        self,
        workflow: str,
        event: StartEvent | Fields | None = None,
        *,
        run_id: str | None = None,
        timeout_s: float | None = None,
        options: RunOptions = NO_OPTIONS,
    ) -> object: ...

    async def run(
        self,
        workflow: str | Workflow,
        event: StartEvent | Fields | None = None,
        *,
        run_id: str | None = None,
        timeout_s: float | None = None,
        options: RunOptions = NO_OPTIONS,
    ) -> object:
        """Start a run and wait for its result: the stop event if the workflow itself was given, else plain data.

        Raises as :meth:`submit` and :meth:`AsyncRun.result`.
        """
        run = await self.submit(workflow, event, run_id=run_id, options=options)
        result = await run.result(timeout_s)
        return result if isinstance(workflow, str) else stop_event_of(workflow, result)

    async def attach(self, run_id: str) -> AsyncRun:
        """A run that somebody has started; whether there is one shows when it is asked for something."""
        return AsyncRun((await self._transport()).runs, checked_run_id(run_id))

    async def runs(
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
        """Runs that fit all that is given, newest first, a page at a time.

        Args:
            workflow: its name; None: all of them.
            status: running, queued, completed, failed, cancelled or timed_out; None: any.
            since: live runs accepted, and ended runs ended, at this moment or later. In UTC where it has no zone.
            q: stands in the id or in the workflow's name.
            tags: that the run has, with these values.
            error: stands in the class or the text of what the run ended with, or tries again after, in capitals or not.
            longer_than_s: since its first step began, up to its end or up to now.
            limit: of the page.
            cursor: ``next`` of the page before. A page may have less than its limit, even nothing, and a next one:
                then 20,000 runs were looked through.
        """
        wanted = RunFilter(
            workflow=workflow,
            status=status,
            since=since if since is None or since.tzinfo else since.replace(tzinfo=timezone.utc),
            q=q,
            tags=tags or {},
            error=error,
            longer_than_s=longer_than_s,
        )
        return await (await self._transport()).runs.page(wanted, limit, cursor)

    async def workers(self) -> list[WorkerView]:
        """The workers that are alive."""
        return await (await self._transport()).fleet.workers()

    async def workflows(self) -> list[WorkflowView]:
        """The workflows that are known, with their load."""
        return await (await self._transport()).fleet.workflows()

    async def dead_letters(self, limit: int = 100) -> list[DeadLetterView]:
        """What was given up on, newest first."""
        return await (await self._transport()).fleet.dead_letters(limit)

    async def retry_dead_letters(self, ids: Sequence[str]) -> list[Again]:
        """Let the runs of dead letters go on, each as a new run; says for each which, or why not."""
        return await (await self._transport()).fleet.retry(ids)

    async def drop_dead_letters(self, ids: Sequence[str]) -> int:
        """Forget dead letters. Returns how many of them there were."""
        return await (await self._transport()).fleet.drop(ids)

    async def health(self) -> Health:
        """Whether runs can be started and asked for; asked once, without patience."""
        return await (await self._transport()).fleet.health()

    async def _transport(self) -> Transport:
        if self._opening is None or (self._opening.done() and self._opening.exception() is not None):
            self._opening = asyncio.get_running_loop().create_task(self._make())
        return await asyncio.shield(self._opening)


def result_of(run: RunView) -> object:
    """The result of a run that has ended.

    Raises:
        WorkflowTimeoutError, WorkflowCancelledByUser, RemoteError: it ended badly.
    """
    if run.status == "completed":
        return run.result
    if run.status == "cancelled":
        raise WorkflowCancelledByUser(f"run {run.run_id} was cancelled")
    error = run.error
    text = "" if error is None else error.message
    if run.status == "timed_out":
        raise WorkflowTimeoutError(text or f"run {run.run_id} took longer than its timeout")
    kind, trace = ("", "") if error is None else (error.type, error.traceback)
    raise RemoteError(kind, text, trace)


def stop_event_of(workflow: Workflow, result: object) -> StopEvent:
    """A result as the stop event of the workflow."""
    cls = cast("type[StopEvent]", workflow.stop_event_class)
    return StopEvent(result=result) if cls is StopEvent else cls.model_validate(result)
