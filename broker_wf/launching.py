"""Begin a run, or follow one: from a workflow's program and a start event to a handler."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict

from pydantic import BaseModel

from broker_wf.broker.moving import moved_parts
from broker_wf.broker.runs import Beginning, RunState, Submission
from broker_wf.broker.snapshots import read_content, start_content
from broker_wf.configuration import current_settings
from broker_wf.context.backend import RunBackend
from broker_wf.context.context import BeforeRun, Context, InRun
from broker_wf.context.saved import Saved, SavedRun
from broker_wf.context.state_store import DictState
from broker_wf.core.ids import Digest, DriverId, Lane, RunId, WorkflowName
from broker_wf.core.run_options import NO_OPTIONS, RunOptions
from broker_wf.driver.followed_run import FollowedRun, Joined, Launch
from broker_wf.driver.saving import NotBegun
from broker_wf.engine.children import Children, current_children
from broker_wf.engine.program import Program
from broker_wf.engine.tracing import RunSpan
from broker_wf.engine.verbose import say_added
from broker_wf.errors import ContextSerdeError, ContextStateError, DecodeError
from broker_wf.events import Event, StartEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.home import Home, home_of
from broker_wf.settings import Settings
from broker_wf.wire.blobs import Encoded, Fetched
from broker_wf.wire.envelope import unsigned
from broker_wf.wire.signing import SAVED
from broker_wf.wire.state import decoded_state, encoded_state


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class FirstState:
    """What the state of a run begins with.

    Attributes:
        program: of the run.
        run_id: its own.
        ready: encoded; of no account if there is an earlier run.
        earlier: the run that had the context before.
    """

    program: Program
    run_id: RunId
    ready: dict[str, bytes] = field(default_factory=dict[str, bytes])
    earlier: RunBackend | None = None

    async def read(self) -> dict[str, bytes]:
        """The state, encoded."""
        if self.earlier is None:
            return self.ready
        return _encoded(self.program, self.run_id, await self.earlier.store.get_state())

    def read_now(self) -> BaseModel:
        """The state; blocks the event loop if an earlier run has left it."""
        if self.earlier is not None:
            state = self.earlier.saved(include_state=True).state
            assert state is not None
            return state
        return decoded_state(self.program.codec.at(self.run_id), _declared(self.program), self.ready)


def _declared(program: Program) -> type[BaseModel]:
    return program.spec.state_type or DictState


def _encoded(program: Program, run_id: RunId, state: BaseModel) -> dict[str, bytes]:
    return encoded_state(program.codec.at(run_id), _declared(program), state)


@dataclass(slots=True, kw_only=True)
class Starting:
    """How a run is submitted: to the workers of the workflow, or to this very process.

    One object and no closures: a driver may hold ten thousand of them, and its garbage collector goes through all.

    Attributes:
        parent: of the step that begins it, if it is to end with the step's run.
        span: of the run, if somebody traces it.
        token: of the one wish, however often it is told: a server that has lost the run is told of it anew.
    """

    settings: Settings
    program: Program
    run_id: RunId
    event: StartEvent
    encoded: Encoded
    state: FirstState
    parent: Children | None = None
    span: RunSpan | None = None
    options: RunOptions = NO_OPTIONS
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    async def __call__(self, is_exposed: Callable[[], bool]) -> Joined:
        """See ``Launch``."""
        settings, program, parent = self.settings, self.program, self.parent
        home, lane = await _place_of_work(settings, program, self.run_id)
        if parent is not None and settings.url is not None:
            await parent.site.serve(program)
        route = program.router.route(type(self.event))
        submission = Submission(
            begin=Beginning(
                start_name=route.name,
                start_hash=start_hash(self.encoded),
                state=await self.state.read(),
                exposed=is_exposed(),
                trace=None if self.span is None else self.span.carried,
                options=self.options,
                token=self.token,
                **_common(home, lane, program, self.run_id),
            ),
            route=route,
            payload=self.encoded,
            parent=None if parent is None else parent.delivery.run_id,
        )
        submitting = home.client.submit(submission)
        if settings.url is None and program.verbose:
            say_added(self.event)
        return await _begun(home, settings, program, self.run_id, submitting)

    def begins(self) -> NotBegun:
        """How the run begins, to be written down before the server has it."""
        route = self.program.router.route(type(self.event))
        takers = [*route.to, *(slot.step for slot in route.slots)]
        queued = [str(route.name)]
        workers = {str(step): {"queue": queued, "in_progress": list[str](), "collected_waiters": []} for step in takers}
        kept = moved(self.program, self.encoded, self.run_id, SAVED)
        run = SavedRun(content=start_content(kept), workers=workers, elapsed_s=0.0)
        return NotBegun(run=run, state=self.state.read_now)


async def submit(
    settings: Settings,
    program: Program,
    run_id: RunId,
    event: StartEvent,
    state: Mapping[str, bytes],
    options: RunOptions = NO_OPTIONS,
    token: str = "",
) -> str:
    """Submit a run that nobody here follows. Returns its status: running, unless there is one that has ended.

    Args:
        token: see ``Beginning``.

    Raises:
        RunConflictError, BackpressureError, ServerUnreachableError: it was not accepted.
        EncodeError, LimitExceededError: the start event cannot travel.
    """
    encoded = program.codec.at(run_id).encode_event(event)
    home, lane = await _place_of_work(settings, program, run_id, is_followed=False)
    route = program.router.route(type(event))
    common = _common(home, lane, program, run_id)
    common["inbox"] = DriverId("")
    begin = Beginning(
        start_name=route.name, start_hash=start_hash(encoded), state=state, options=options, token=token, **common
    )
    status = await home.broker.runs.submit(Submission(begin=begin, route=route, payload=encoded))
    if home.worker is not None and settings.url is None:
        home.worker.ask()
    return status


def restoring(settings: Settings, program: Program, run_id: RunId, saved: Saved) -> Launch:
    """How a run goes on where a saved one was.

    Raises:
        ContextSerdeError: what was saved is damaged, or has work for steps that the workflow does not have.
    """
    assert saved.run is not None
    content, move = read_content(saved.run.content), program.codec.move(SAVED, run_id)
    if move is not None:
        content = replace(content, parts=moved_parts(content.parts, move))
    unknown = sorted(content.steps - set(program.spec.steps))
    if unknown:
        raise ContextSerdeError(
            f"the saved context has work for steps that {program.spec.name} does not have: {', '.join(unknown)}. "
            "Resume it with the workflow it was made with"
        )
    first = saved_state(saved, program, run_id).ready
    if content.start is not None:
        event = _saved_start(program, run_id, content.start)
        state = FirstState(program=program, run_id=run_id, ready=first)
        return Starting(
            settings=settings, program=program, run_id=run_id, event=event, encoded=content.start, state=state
        )
    digest = hashlib.blake2b(saved.run.content, digest_size=16).hexdigest()

    async def launch(is_exposed: Callable[[], bool]) -> Joined:
        home, lane = await _place_of_work(settings, program, run_id)
        begin = Beginning(
            start_name=program.spec.name_of(program.spec.start_class),
            start_hash=digest,
            state=first,
            exposed=is_exposed(),
            **_common(home, lane, program, run_id),
        )
        return await _begun(home, settings, program, run_id, home.client.restore(begin, content))

    return launch


class _Common(TypedDict):
    run_id: RunId
    workflow: WorkflowName
    lane: Lane
    digest: Digest
    timeout_ms: int
    inbox: DriverId
    max_runs: int | None


def _common(home: Home, lane: Lane, program: Program, run_id: RunId) -> _Common:
    spec = program.spec
    return _Common(
        run_id=run_id,
        workflow=spec.name,
        lane=lane,
        digest=spec.digest,
        timeout_ms=spec.timeout_ms or 0,
        inbox=home.client.id,
        max_runs=spec.num_concurrent_runs,
    )


async def _place_of_work(
    settings: Settings, program: Program, run_id: RunId, *, is_followed: bool = True
) -> tuple[Home, Lane]:
    home = await home_of(settings)
    if settings.url is not None:
        return home, await home.shared_lane(program)
    return home, await home.private_lane(program, run_id, is_followed=is_followed)


async def _begun(
    home: Home,
    settings: Settings,
    program: Program,
    run_id: RunId,
    beginning: Coroutine[object, object, asyncio.Future[RunState]],
) -> Joined:
    if settings.url is not None or home.worker is None:
        return home.client, await beginning
    asyncio.get_running_loop().call_soon(home.worker.ask)
    try:
        end = await beginning
    except Exception:
        home.has_ended(program, run_id)
        raise

    def ended(state: asyncio.Future[RunState]) -> None:
        # Of a run whose end is not known here, it is not known whether it is alive.
        if not state.cancelled() and state.exception() is None:
            home.has_ended(program, run_id)

    end.add_done_callback(ended)
    return home.client, end


def attaching(settings: Settings, program: Program, run_id: RunId, *, resume: bool) -> Launch:
    """How a run that was begun elsewhere is followed, or taken over."""

    async def launch(is_exposed: Callable[[], bool]) -> Joined:
        home = await home_of(settings)
        if resume:
            await home.adopt(run_id, program)
        return home.client, await home.client.attach(run_id)

    return launch


def _saved_start(program: Program, run_id: RunId, start: Encoded) -> StartEvent:
    try:
        blobs = Fetched({blob.hash: blob.sealed for blob in start.blobs})
        event = program.codec.at(run_id).decode_event(start.payload, blobs)
    except DecodeError as error:
        raise ContextSerdeError(f"the start event in the saved context cannot be read: {error}") from error
    if not isinstance(event, StartEvent) or not program.spec.acceptors(type(event)):
        raise ContextSerdeError(
            f"the saved run begins with {type(event).__name__}; {program.spec.name} begins with "
            f"{program.spec.start_class.__name__}. Resume it with the workflow it was made with"
        )
    return event


def saved_state(saved: Saved, program: Program, run_id: RunId) -> FirstState:
    """What the state of a run that goes on begins with."""
    ready = {} if saved.state is None else _encoded(program, run_id, saved.state)
    return FirstState(program=program, run_id=run_id, ready=ready)


def going_on(program: Program, saved: Saved, run_id: RunId) -> NotBegun:
    """How a saved run goes on, to be written down again before the server has it."""
    run = saved.run
    assert run is not None
    state = saved_state(saved, program, run_id).read_now if saved.state is not None else lambda: None
    return NotBegun(run=run, state=state)


def first_state(ctx: Context[Any] | None, program: Program, run_id: RunId) -> FirstState:
    """What the run's state begins with: what was put into the context, or what the run before left in it.

    Raises:
        ContextStateError: a run with this context goes on, or it is a step's.
    """
    if ctx is None:
        return FirstState(program=program, run_id=run_id)
    face = ctx.face
    if isinstance(face, BeforeRun):
        begun = face.saved is not None or "store" in face.__dict__
        ready = _encoded(program, run_id, face.store.state) if begun else {}
        return FirstState(program=program, run_id=run_id, ready=ready)
    if isinstance(face, InRun):
        if face.backend.is_running:
            raise ContextStateError("The context belongs to a run that is already running")
        return FirstState(program=program, run_id=run_id, earlier=face.backend)
    raise ContextStateError("A step's context cannot begin another run")


def saved_run(ctx: Context[Any] | Event | None) -> Saved | None:
    """What a run with this context goes on from; None: it begins with its start event.

    Raises:
        TypeError: it is an event.
    """
    if isinstance(ctx, Event):
        raise TypeError(
            f"the first argument of run() is a Context, not {type(ctx).__name__}: "
            "give run(start_event=…), or the fields of the start event by name"
        )
    face = None if ctx is None else ctx.face
    saved = face.saved if isinstance(face, BeforeRun) else None
    return saved if saved is not None and saved.is_running else None


def moved(program: Program, encoded: Encoded, before: str, after: str) -> Encoded:
    """A start event that another run begins with after all."""
    move = program.codec.move(before, after)
    return encoded if move is None else Encoded(move(encoded.payload), encoded.blobs)


def start_hash(encoded: Encoded) -> str:
    """What tells whether two start events are the same, whichever key has signed them."""
    return hashlib.blake2b(unsigned(encoded.payload), digest_size=16).hexdigest()


def parent_step(settings: Settings) -> Children | None:
    """The step that executes here, if it can be the parent of runs in this namespace."""
    step = current_children.get()
    return step if step is not None and step.site.settings == settings else None


def settings_here(own: Settings | str | None) -> Settings:
    """What applies now: the workflow's own, else those of the step that executes here, else those of the process.

    Raises:
        SettingsError: a variable of the environment has a value it cannot have.
    """
    step = current_children.get()
    return step.site.settings if own is None and step is not None else current_settings(own)


def followed(
    run_id: RunId,
    program: Program,
    launch: Launch,
    ctx: Context[Any] | None,
    begins: Callable[[], NotBegun] | None = None,
    parent: Children | None = None,
    span: RunSpan | None = None,
) -> WorkflowHandler:
    """Launch a run and hold it. A step that begins it does not end before it was accepted.

    Args:
        begins: what it begins with, if it is begun here.
        span: what ends with the run.
    """
    run = FollowedRun(
        run_id=run_id, router=program.router, codec=program.codec.at(run_id), launch=launch, begins=begins
    )
    run.begin()
    if parent is not None:
        parent.submit(run.broker())
    if span is not None:
        run.end.add_done_callback(span.ended)
    return WorkflowHandler(run, ctx)
