"""Views as people read them on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from broker_wf.cli.output import age, print_table, print_text, size, span_ms
from broker_wf.inspector.views import (
    DeadLetterView,
    ErrorView,
    LogView,
    RunSummary,
    RunView,
    StatusView,
    UnservedView,
    WaitView,
    WorkerView,
    WorkflowView,
)

_BRIEF = 80


def status(view: StatusView, unserved: Sequence[UnservedView]) -> None:
    """One screen: server, workers, workflows, runs that wait for a worker."""
    server = view.server
    limit = f" of {size(server.max_memory_bytes)}" if server.max_memory_bytes else ""
    print_text(
        f"server     {server.name} {server.version} at {server.url}, up {span_ms(server.uptime_s * 1000)}, "
        f"{size(server.used_memory_bytes)}{limit}, log {server.log}"
    )
    print_text(f"namespace  {view.namespace}, {view.dead_letters} dead letters")
    busy = sum(worker.running for worker in view.workers)
    print_text(f"workers    {len(view.workers)} alive, {busy} deliveries at their last heartbeat")
    if view.workflows:
        print_text("")
        _workflows(view.workflows)
    if unserved:
        print_text("")
    for one in unserved:
        lack = "has this version" if one.has_workers else "serves the workflow"
        print_text(
            f"UNSERVED   {one.runs} live runs of {one.workflow}, version {one.digest}: no live worker {lack}; "
            f"the oldest is of {_moment(one.oldest_at)} ({', '.join(one.examples)})"
        )


def _workflows(views: Sequence[WorkflowView]) -> None:
    columns = ("workflow", "workers", "live runs", "ended", "waiting", "running", "oldest waits")
    rows = [
        (
            view.workflow,
            str(view.workers),
            str(view.live_runs),
            str(view.ended_runs),
            str(view.waiting),
            str(view.running),
            span_ms(view.oldest_waiting_ms),
        )
        for view in views
    ]
    print_table(columns, rows)


def workers(views: Sequence[WorkerView]) -> None:
    """A line per worker."""
    columns = ("worker", "host", "pid", "running", "done", "last seen", "workflows")
    rows = [
        (
            view.id,
            view.host,
            str(view.pid),
            f"{view.running}/{view.concurrency}",
            str(view.done),
            age(view.last_seen_at),
            ", ".join(view.workflows),
        )
        for view in views
    ]
    print_table(columns, rows)


def runs(views: Sequence[RunSummary]) -> None:
    """A line per run."""
    columns = ("run", "workflow", "status", "created", "took")
    rows = [
        (view.run_id, view.workflow, view.status, age(view.created_at), _took(view.started_at, view.ended_at))
        for view in views
    ]
    print_table(columns, rows)


def waits(views: Sequence[WaitView]) -> None:
    """A line for each wait, and what it has asked."""
    columns = ("run", "workflow", "step", "waits for", "asked", "due", "question")
    rows = [
        (
            view.run_id,
            view.workflow,
            view.step or "-",
            " or ".join(view.events) or "-",
            "-" if view.asked_at is None else age(view.asked_at),
            _moment(view.due_at),
            "-" if view.question_type is None else f"{view.question_type} {_brief(view.question)}",
        )
        for view in views
    ]
    print_table(columns, rows)


def letters(views: Sequence[DeadLetterView]) -> None:
    """A line for each dead letter."""
    columns = ("letter", "kind", "at", "run", "step", "event", "reason")
    rows = [
        (one.id, one.kind, age(one.at), one.run_id or "-", one.step or "-", one.event or "-", _brief(one.reason))
        for one in views
    ]
    print_table(columns, rows)


def _brief(value: object) -> str:
    whole = json.dumps(value, ensure_ascii=False)
    return whole if len(whole) <= _BRIEF else f"{whole[: _BRIEF - 1]}…"


def run(view: RunView) -> None:
    """All about one run but its deliveries that are done."""
    print_text(f"run       {view.run_id}")
    print_text(f"workflow  {view.workflow} (digest {view.digest})")
    print_text(f"status    {view.status}")
    if view.tags:
        print_text(f"tags      {', '.join(f'{name}={value}' for name, value in view.tags.items())}")
    if view.priority != "normal" or view.fairness_key is not None:
        print_text(f"priority  {view.priority}{'' if view.fairness_key is None else f', by {view.fairness_key}'}")
    print_text(f"created   {_moment(view.created_at)}")
    if view.begins_at is not None:
        print_text(f"begins    {_moment(view.begins_at)}")
    print_text(f"started   {_moment(view.started_at)}")
    print_text(f"ended     {_moment(view.ended_at)}  took {_took(view.started_at, view.ended_at)}")
    if view.ended_at is None:
        print_text(f"deadline  {_moment(view.deadline_at)}")
    if view.unserved_at is not None:
        print_text(f"waits     for a worker with its version; none is alive since {_moment(view.unserved_at)}")
    if view.status == "completed":
        print_text(f"result    {json.dumps(view.result, ensure_ascii=False)}")
    if view.error is not None:
        _error(view.error)
    _reruns(view)
    if view.steps:
        print_text("")
        _steps(view)


def _reruns(view: RunView) -> None:
    for name, value in (("rerun of", view.rerun_of), ("rerun as", view.rerun_as)):
        if value is not None:
            print_text(f"{name}  {value}")
    if view.unfinished:
        print_text(f"left      {', '.join(view.unfinished)} (broker-wf runs rerun --from-step)")


def log_line(view: LogView) -> None:
    """A line of a run's log; the further lines of its text stand below it."""
    attempt = f", attempt {view.attempt}" if view.attempt > 1 else ""
    text = view.text.replace("\n", "\n    ")
    print_text(f"{_moment(view.at)} {view.level:<7} {view.step}{attempt}: {text}")


def _steps(view: RunView) -> None:
    columns = ("step", "queued", "leased", "delayed", "waiting", "held", "backlog", "done")
    rows = [
        (
            one.step,
            str(one.queued),
            str(one.leased),
            str(one.delayed),
            str(one.waiting),
            str(one.held),
            str(one.backlog),
            str(one.done),
        )
        for one in view.steps
    ]
    print_table(columns, rows)


def _error(error: ErrorView) -> None:
    where = f" in step {error.step}" if error.step else ""
    tries = f" after {error.attempts} attempts" if error.attempts and error.attempts > 1 else ""
    print_text(f"error     {error.type}: {error.message}{where}{tries}")
    for line in error.traceback.splitlines():
        print_text(f"          {line}")


def _moment(at: datetime | None) -> str:
    return "-" if at is None else at.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", " UTC")


def _took(started: datetime | None, ended: datetime | None) -> str:
    if started is None or ended is None:
        return "-"
    return span_ms(round((ended - started).total_seconds() * 1000))
