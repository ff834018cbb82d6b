"""Begin a run, or follow one: from a workflow's program and a start event to a handler."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import string
from collections.abc import Awaitable, Callable
from typing import Any

from broker_wf.broker.runs import Submission
from broker_wf.configuration import current_settings
from broker_wf.context.context import BeforeRun, Context, InRun
from broker_wf.core.ids import RunId
from broker_wf.driver.followed_run import FollowedRun, Joined, Launch
from broker_wf.engine.children import Children, current_children
from broker_wf.engine.program import Program
from broker_wf.engine.tracing import RunSpan
from broker_wf.engine.verbose import say_added
from broker_wf.errors import ContextStateError
from broker_wf.events import StartEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.home import home_of
from broker_wf.settings import Settings
from broker_wf.wire.blobs import Encoded
from broker_wf.wire.state import encoded_state

FirstState = Callable[[], Awaitable[dict[str, bytes]]]

_RUN_ID_ALPHABET = string.ascii_letters + string.digits
_LONGEST_RUN_ID = 200


def submitting(
    settings: Settings,
    program: Program,
    run_id: RunId,
    event: StartEvent,
    encoded: Encoded,
    state: FirstState,
    parent: Children | None,
    span: RunSpan | None,
) -> Launch:
    """How the run is submitted: to the workers of the workflow, or to this very process.

    Args:
        parent: of the step that begins it, if it is to end with the step's run.
        span: of the run, if somebody traces it.
    """

    async def launch(is_exposed: Callable[[], bool]) -> Joined:
        home = await home_of(settings)
        is_here = settings.url is None
        lane = await (home.private_lane(program) if is_here else home.shared_lane(program))
        if parent is not None and not is_here:
            await parent.site.serve(program)
        spec = program.spec
        submission = Submission(
            run_id=run_id,
            workflow=spec.name,
            lane=lane,
            digest=spec.digest,
            timeout_ms=spec.timeout_ms or 0,
            route=program.router.route(type(event)),
            payload=encoded,
            start_hash=start_hash(encoded),
            state=await state(),
            inbox=home.client.id,
            exposed=is_exposed(),
            trace=None if span is None else span.carried,
            max_runs=spec.num_concurrent_runs,
            parent=None if parent is None else parent.delivery.run_id,
        )
        submitting = home.client.submit(submission)
        if is_here and program.verbose:
            say_added(event)
        if is_here and home.worker is not None:
            asyncio.get_running_loop().call_soon(home.worker.ask)
        return home.client, await submitting

    return launch


def attaching(settings: Settings, program: Program, run_id: RunId, *, resume: bool) -> Launch:
    """How a run that was begun elsewhere is followed, or taken over."""

    async def launch(is_exposed: Callable[[], bool]) -> Joined:
        home = await home_of(settings)
        if resume:
            await home.adopt(run_id, program)
        return home.client, await home.client.attach(run_id)

    return launch


def first_state(ctx: Context[Any] | None, program: Program) -> FirstState:
    """What the run's state begins with: what was put into the context, or what the run before left in it.

    Raises:
        ContextStateError: a run with this context goes on, or it is a step's.
    """
    if ctx is None:
        return _no_state
    face = ctx.face
    if isinstance(face, BeforeRun):
        begun = "store" in face.__dict__
        ready = encoded_state(program.codec, face.store.state) if begun else {}
        return lambda: _given_state(ready)
    if isinstance(face, InRun):
        if face.backend.is_running:
            raise ContextStateError("The context belongs to a run that is already running")
        store = face.backend.store

        async def earlier() -> dict[str, bytes]:
            return encoded_state(program.codec, await store.get_state())

        return earlier
    raise ContextStateError("A step's context cannot begin another run")


async def _no_state() -> dict[str, bytes]:
    return {}


async def _given_state(state: dict[str, bytes]) -> dict[str, bytes]:
    return state


def start_hash(encoded: Encoded) -> str:
    """What tells whether two start events are the same."""
    return hashlib.blake2b(encoded.payload, digest_size=16).hexdigest()


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
    parent: Children | None = None,
    span: RunSpan | None = None,
) -> WorkflowHandler:
    """Launch a run and hold it. A step that begins it does not end before it was accepted.

    Args:
        span: what ends with the run.
    """
    run = FollowedRun(run_id=run_id, router=program.router, codec=program.codec, launch=launch)
    run.begin()
    if parent is not None:
        parent.submit(run.broker())
    if span is not None:
        run.end.add_done_callback(span.ended)
    return WorkflowHandler(run, ctx)


def checked_run_id(run_id: object) -> RunId:
    """The id as given, if a run can have it.

    Raises:
        ValueError: it cannot; says what it may hold.
    """
    text = run_id if isinstance(run_id, str) else ""
    bad = not text or len(text) > _LONGEST_RUN_ID or any(c in "|{}" or not c.isprintable() for c in text)
    if bad:
        raise ValueError(
            f"run_id cannot be {run_id!r}: use 1 to {_LONGEST_RUN_ID} printable characters without '|', '{{' and '}}'"
        )
    return RunId(text)


def new_run_id() -> RunId:
    """A random id: ten letters and digits, as upstream's."""
    return RunId("".join(secrets.choice(_RUN_ID_ALPHABET) for _ in range(10)))
