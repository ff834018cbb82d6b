"""``broker-wf run``: one run, from its start event to its result."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import click
from pydantic import ValidationError

from broker_wf.cli.failures import (
    CANCELLED,
    INTERRUPTED,
    RUN_FAILED,
    TIMED_OUT,
    USAGE,
    CommandError,
    Failure,
    failure_of,
)
from broker_wf.cli.options import asked_where, duration_ms, where
from broker_wf.cli.output import jsonable, print_json, tell
from broker_wf.cli.target import load_targets
from broker_wf.configuration import configure
from broker_wf.core.ids import Lane
from broker_wf.core.run_options import OnConflict, Priority, RunOptions
from broker_wf.errors import BrokerError, RunNotFoundError, WorkflowCancelledByUser
from broker_wf.events import StartEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.home import Home, close_homes, home_of
from broker_wf.inspector import Inspector
from broker_wf.settings import Settings
from broker_wf.worker.services import Served
from broker_wf.worker.worker import Worker
from broker_wf.workflow import Workflow

_LOOK_EVERY_S = 0.02
_SECOND_THOUGHTS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What shall be done with the run.

    Attributes:
        timeout_s: how long to wait for the result; None: without end.
        follow: tell its events on stderr.
        detach: do not wait for it.
    """

    run_id: str | None
    options: RunOptions
    timeout_s: float | None
    follow: bool
    detach: bool


@click.command()
@click.argument("target", metavar="MODULE:ATTR")
@click.argument("fields", metavar="KEY=VALUE...", nargs=-1)
@click.option("--json", "text", metavar="JSON", help="Fields of the start event as a JSON object; - reads stdin.")
@click.option("--run-id", help="The run's id; one there is with the same start event is attached to.")
@click.option(
    "--timeout", type=duration_ms, metavar="DURATION", help="How long to wait for the result: seconds, 30s, 5m."
)
@click.option("--tag", "tags", metavar="NAME=VALUE", multiple=True, help="A text to find the run by; may be repeated.")
@click.option("--delay", metavar="DURATION", default="0", help="Begin so much later: seconds, 30s, 5m, 2h, PT5M.")
@click.option(
    "--on-conflict",
    type=click.Choice(("fail", "attach", "restart")),
    default="fail",
    show_default=True,
    help="Where the id is taken: fail unless the start event is the same, attach to that run, or cancel it and begin.",
)
@click.option("--priority", type=click.Choice(("high", "normal", "low")), default="normal", show_default=True)
@click.option("--fairness-key", metavar="KEY", help="Of runs that wait for a turn, one of each key is next.")
@click.option("-F", "--follow", is_flag=True, help="Tell the run's events on stderr, as lines of JSON.")
@click.option("-d", "--detach", is_flag=True, help="Print the run's id when it was accepted, and do not wait.")
@where
def run(
    target: str,
    fields: tuple[str, ...],
    text: str | None,
    run_id: str | None,
    timeout: int | None,
    tags: tuple[str, ...],
    delay: str,
    on_conflict: OnConflict,
    priority: Priority,
    fairness_key: str | None,
    follow: bool,
    detach: bool,
    url: str | None,
    namespace: str | None,
) -> int:
    """Run a workflow and print its result as JSON.

    A VALUE that is JSON is taken as that, anything else as text. Where no worker serves the workflow, this process
    executes it. Ctrl-C leaves the run alone; a second one cancels it.
    """
    settings = asked_where(url, namespace).settings()
    configure(url=settings.url, namespace=settings.namespace)
    given = _fields(fields, text)
    workflows = load_targets([target])
    if len(workflows) != 1:
        names = ", ".join(one.workflow_name for one in workflows)
        raise click.UsageError(f"{target} is several workflows, and one can be run: {names}")
    start = _start_event(workflows[0], given)
    others = partial(RunOptions, delay=delay, on_conflict=on_conflict, priority=priority, fairness_key=fairness_key)
    wish = _Wish(
        run_id=run_id,
        options=_options(tags, others),
        timeout_s=None if timeout is None else timeout / 1000,
        follow=follow,
        detach=detach,
    )
    return asyncio.run(_run(workflows[0], start, wish, settings))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """Fields of the start event; ``texts`` holds those of the command line as they were written."""

    values: Mapping[str, object]
    texts: Mapping[str, str]


def _fields(words: Sequence[str], text: str | None) -> _Given:
    values: dict[str, object] = {}
    if text is not None:
        try:
            found: object = json.loads(sys.stdin.read() if text == "-" else text)
        except ValueError as error:
            raise click.UsageError(f"--json is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise click.UsageError(f'--json must be an object, as in \'{{"query": "…"}}\', not {type(found).__name__}')
        values.update(cast("dict[str, object]", found))
    texts: dict[str, str] = {}
    for word in words:
        name, value = _pair(word, f"{word!r} is not of the form KEY=VALUE")
        texts[name] = value
        values[name] = _value(value)
    return _Given(values=values, texts=texts)


def _pair(word: str, complaint: str) -> tuple[str, str]:
    name, is_given, value = word.partition("=")
    if not is_given or not name:
        raise click.UsageError(complaint)
    return name, value


def _options(tags: Sequence[str], make: Callable[..., RunOptions]) -> RunOptions:
    given = dict(_pair(one, f"--tag {one!r} is not of the form NAME=VALUE") for one in tags)
    try:
        return make(tags=given)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _start_event(workflow: Workflow, given: _Given) -> StartEvent:
    """Make the start event, fully validated. Where a field wants text, ``name=5`` means the text.

    Raises:
        CommandError: the fields do not fit it.
    """
    cls = workflow.start_event_class
    try:
        try:
            return cls(**given.values)
        except ValidationError as error:
            wanted = {
                str(fault["loc"][0]) for fault in error.errors() if fault["type"] == "string_type" and fault["loc"]
            }
            meant = {name: text for name, text in given.texts.items() if name in wanted}
            if not meant:
                raise
            return cls(**{**given.values, **meant})
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'fields'}: {fault['msg']}" for fault in error.errors())
        what = f"no start event {cls.__name__} can be made of what was given"
        known = ", ".join(cls.model_fields) or "any"
        failure = Failure(code=USAGE, what=what, why="\n".join(faults), mend=f"Its fields are: {known}.")
        raise CommandError(failure) from error


async def _run(workflow: Workflow, start: StartEvent, wish: _Wish, settings: Settings) -> int:
    try:
        home = await home_of(settings)
        inspector = Inspector(home.broker)
        is_served = await inspector.serving(workflow.workflow_name) > 0
        async with _executing_here(home, workflow, wanted=not is_served and not wish.detach):
            handler = workflow.run(start_event=start, run_id=wish.run_id, run_options=wish.options)
            tell(f"run {handler.run_id}")
            if not is_served:
                tell(f"no worker serves {workflow.workflow_name}: {_what_then(workflow, wish)}")
            return await (_detached(handler, inspector) if wish.detach else _waited(handler, wish, inspector))
    finally:
        await close_homes()


def _what_then(workflow: Workflow, wish: _Wish) -> str:
    if wish.detach:
        return f"the run waits for one; start it with broker-wf worker {workflow.spec.class_path}"
    return "this process executes it"


@asynccontextmanager
async def _executing_here(home: Home, workflow: Workflow, *, wanted: bool) -> AsyncGenerator[None, None]:
    """Be a worker meanwhile: the only one of the workflow."""
    if not wanted:
        yield
        return
    worker = Worker(home.broker, home.settings)
    program = workflow.program()
    try:
        await worker.serve(Served(program=program, lane=Lane(program.spec.name)))
        worker.start()
        yield
    finally:
        await worker.stop(0)


async def _detached(handler: WorkflowHandler, inspector: Inspector) -> int:
    """Return as soon as the run was accepted."""
    while not handler.is_done():
        try:
            view = await inspector.run(handler.run_id)
        except RunNotFoundError:
            await asyncio.sleep(_LOOK_EVERY_S)
            continue
        print_json({"run_id": view.run_id, "status": view.status})
        return 0
    return await _ended(handler, asyncio.ensure_future(_result(handler)), inspector)


async def _waited(handler: WorkflowHandler, wish: _Wish, inspector: Inspector) -> int:
    """Wait for the end, for as long as is wished and nobody interrupts."""
    interrupts = _Interrupts()
    interrupts.listen()
    ending = asyncio.ensure_future(_result(handler))
    telling = asyncio.ensure_future(_tell_events(handler)) if wish.follow else None
    interrupted = asyncio.ensure_future(interrupts.first.wait())
    await asyncio.wait([ending, interrupted], timeout=wish.timeout_s, return_when=asyncio.FIRST_COMPLETED)
    interrupted.cancel()
    if interrupts.first.is_set() and not ending.done():
        return await _interrupted(handler, interrupts, ending)
    if telling is not None:
        await asyncio.wait([telling], timeout=_SECOND_THOUGHTS_S if ending.done() else 0)
        telling.cancel()
    if not ending.done():
        ending.cancel()
        failure = Failure(
            code=TIMED_OUT,
            what=f"run {handler.run_id} has not ended in {wish.timeout_s:g} s",
            why="it goes on as long as a worker serves the workflow",
            mend=f"broker-wf runs show {handler.run_id} tells how it stands, runs cancel ends it.",
        )
        raise CommandError(failure)
    return await _ended(handler, ending, inspector)


async def _ended(handler: WorkflowHandler, ending: asyncio.Future[object], inspector: Inspector) -> int:
    await asyncio.wait([ending])
    error = ending.exception()
    if error is None:
        print_json(jsonable(ending.result()))
        return 0
    raise CommandError(await _failure(handler.run_id, error, inspector)) from error


async def _failure(run_id: str, error: BaseException, inspector: Inspector) -> Failure:
    """Why there is no result: the run was not accepted, or it ended badly."""
    if isinstance(error, WorkflowCancelledByUser):
        return Failure(code=CANCELLED, what=f"run {run_id} was cancelled")
    try:
        view = await inspector.run(run_id)
    except BrokerError:
        view = None
    if view is None or view.error is None:
        if isinstance(error, BrokerError):
            return failure_of(error)
        return Failure(code=RUN_FAILED, what=f"{type(error).__name__}: {error}")
    found = view.error
    where_it_was = f"step {found.step}, attempt {found.attempts}: " if found.step else ""
    return Failure(
        code=RUN_FAILED,
        what=f"run {run_id} {view.status.replace('_', ' ')}",
        why=f"{where_it_was}{found.type}: {found.message}",
        mend=f"broker-wf runs show {run_id} shows the traceback." if found.traceback else "",
    )


async def _result(handler: WorkflowHandler) -> object:
    return cast(object, await handler)


async def _tell_events(handler: WorkflowHandler) -> None:
    async for event in handler.stream_events():
        tell(json.dumps({"type": type(event).__name__, "value": jsonable(event)}))


@dataclass(slots=True)
class _Interrupts:
    first: asyncio.Event = field(default_factory=asyncio.Event)
    second: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._note)

    def _note(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def _interrupted(handler: WorkflowHandler, interrupts: _Interrupts, ending: asyncio.Future[object]) -> int:
    """Leave the run alone, unless a second Ctrl-C says to cancel it."""
    tell(f"leaving run {handler.run_id} alone; Ctrl-C again cancels it")
    second = asyncio.ensure_future(interrupts.second.wait())
    await asyncio.wait([second], timeout=_SECOND_THOUGHTS_S)
    if not interrupts.second.is_set():
        second.cancel()
        ending.cancel()
        return INTERRUPTED
    await handler.cancel_run()
    tell(f"run {handler.run_id} was cancelled")
    ending.cancel()
    return CANCELLED
