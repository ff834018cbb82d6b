"""What is sent to the API and what it answers, besides the views of the inspector."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)

from broker_wf.again import Again
from broker_wf.inspector.searching import RunFilter, tags_from
from broker_wf.inspector.views import (
    DeadLetterView,
    EventView,
    ExecutionView,
    LogView,
    RunSummary,
    RunView,
    WaitView,
    WorkerView,
    WorkflowView,
)
from broker_wf.server.sse import LAST_SEQ

Status = Literal["running", "queued", "completed", "failed", "cancelled", "timed_out"]


Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""In UTC where it does not say otherwise."""
Whole = Annotated[int, BeforeValidator(lambda value: int(value) if _is_whole(value) else value)]
"""In JSON 1.0 is the same number as 1."""
Tag = Annotated[str, StringConstraints(pattern=r"^[^=]+=", max_length=400)]
LetterId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}-[0-9]{1,18}$")]


class Asked(BaseModel):
    """What is asked for; nothing is there that is not known."""

    model_config = ConfigDict(extra="forbid")


class Filters(Asked):
    """Which runs are meant."""

    workflow: str | None = Field(default=None, description="Only runs of this workflow.")
    status: Status | None = Field(default=None, description="Only runs that stand so.")
    since: Moment | None = Field(
        default=None, description="Only live runs accepted, and ended runs ended, at this moment or later."
    )
    q: str | None = Field(default=None, max_length=200, description="Only runs whose id or workflow contains this.")
    tag: list[Tag] = Field(
        default_factory=list[str],
        max_length=32,
        description="Only runs with this tag, NAME=VALUE, or all of several.",
    )
    error: str | None = Field(
        default=None,
        max_length=200,
        description="Only runs that have failed, or try again after an error, whose class or text contains this.",
    )
    longer_than: float | None = Field(
        default=None, ge=0, le=1e9, description="Only runs that took, or take by now, more than so many seconds."
    )

    def wanted(self) -> RunFilter:
        """The same for the inspector."""
        return RunFilter(
            workflow=self.workflow,
            status=self.status,
            since=self.since,
            q=self.q,
            tags=tags_from(self.tag),
            error=self.error,
            longer_than_s=self.longer_than,
        )


class RunsQuery(Filters):
    """Which runs to list."""

    limit: int = Field(default=50, ge=1, le=1_000, description="Of the page.")
    cursor: str | None = Field(default=None, pattern=r"^[0-9]{1,15}-", description="`next` of the page before.")


class EventsQuery(Asked):
    """Which events of a run to read."""

    after: int = Field(default=0, ge=0, le=LAST_SEQ, description="Events behind this sequence number.")
    limit: int = Field(default=500, ge=1, le=5_000, description="Of the page; a stream has no limit.")
    sse: bool = Field(default=False, description="As server-sent events until the run ends. So does the Accept header.")


class LogsQuery(Asked):
    """Which lines of a run's log to read."""

    after: str = Field(default="", pattern=r"^([0-9]{1,18}-[0-9]{1,18})?$", description="Lines behind this cursor.")
    limit: int = Field(default=1_000, ge=1, le=10_000, description="Of the page; a stream has no limit.")
    step: str | None = Field(default=None, description="Only lines of this step.")
    level: Level = Field(default="DEBUG", description="Only lines of this level and above.")
    sse: bool = Field(default=False, description="As server-sent events until the run ends. So does the Accept header.")


class LimitQuery(Asked):
    """How much to list."""

    limit: int = Field(default=100, ge=1, le=10_000, description="Of the list.")


class WaitingQuery(Asked):
    """Whose questions to list."""

    workflow: str | None = Field(default=None, description="Only those of this workflow.")
    limit: int = Field(default=1_000, ge=1, le=10_000, description="Live runs that are looked at, newest first.")


class BacklogQuery(Asked):
    """What to measure."""

    queue: str | None = Field(default=None, description="A workflow; otherwise all of them together.")


class SentEvent(Asked):
    """An event for a run."""

    type: str = Field(description="Name of its class, one of the workflow's.")
    value: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue], description="Its fields.")
    step: str | None = Field(default=None, description="The only step it is for.")
    event_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Sent again under the same id it arrives once.",
    )


class Bulk(Filters):
    """Something to be done to many runs: those named, or those the filters fit.

    Without names live runs are cancelled, and done again those that ended badly (or as `status` says) and that nobody
    has done again.
    """

    action: Literal["cancel", "rerun"]
    unfinished: bool = Field(default=False, description="Of a rerun: go on from what each run had not finished.")
    run_ids: list[str] | None = Field(default=None, max_length=10_000, description="These and no others.")
    limit: Whole = Field(default=1_000, ge=1, le=10_000, description="At most so many.")
    dry_run: bool = Field(default=True, description="Tell which runs it would be, and leave them alone.")


class RunPage(BaseModel):
    """A page of runs, newest first: live ones by when they were accepted, ended ones by when they ended."""

    runs: list[RunSummary]
    next: str | None = Field(description="Goes into `cursor`; null: there is no more.")


class RunDetail(BaseModel):
    """All about a run."""

    run: RunView
    done: int = Field(description="Deliveries that have ended.")
    total: int = Field(description="Deliveries known of by now; grows as the run goes on.")


class Executions(BaseModel):
    """The rows of a run's waterfall, by start; what waits comes last."""

    steps: list[ExecutionView]


class Events(BaseModel):
    """Events a run has published."""

    events: list[EventView]


class Logs(BaseModel):
    """Lines that the steps of a run have logged, oldest first; the last ones are kept."""

    logs: list[LogView]
    next: str = Field(description="Goes into `after`, to ask for what was logged since.")


class State(BaseModel):
    """The Context's state of a run as last committed."""

    state: dict[str, JsonValue]


class Started(BaseModel):
    """What became of a request to start a run."""

    run_id: str | None = Field(description="Null if it was refused.")
    workflow: str
    error: str | None = Field(default=None, description="Why it was refused.")


class StartedRuns(BaseModel):
    """What became of each, in the order asked."""

    runs: list[Started]


class Done(BaseModel):
    """How a run stands after what was asked."""

    run_id: str
    status: str


class BulkDone(BaseModel):
    """What was done to which runs, or would be."""

    action: str
    dry_run: bool
    run_ids: list[str]
    again: list[Again] = Field(
        default_factory=list[Again], description="Of a rerun: the new run of each, or why there is none."
    )


class Workers(BaseModel):
    """The workers that are alive."""

    workers: list[WorkerView]


class Queues(BaseModel):
    """The load of each workflow."""

    queues: list[WorkflowView]


class Backlog(BaseModel):
    """What there is to do, as one number to scale by; 0 also for a queue that nobody knows."""

    queue: str | None
    waiting: int
    running: int
    backlog: int = Field(description="Waiting and running.")
    oldest_waiting_ms: int = Field(description="0: nothing waits.")


class DeadLetters(BaseModel):
    """What was given up on, newest first."""

    dead_letters: list[DeadLetterView]
    total: int


class Question(BaseModel):
    """What a run waits for, and how an answer looks."""

    wait: WaitView
    schemas: dict[str, dict[str, JsonValue]] = Field(
        description="JSON schema of each event that is an answer; empty where this server has not the code."
    )


class Waiting(BaseModel):
    """The questions that wait for an answer, oldest first."""

    waiting: list[Question]


class WorkflowInfo(BaseModel):
    """A workflow the namespace or this server knows."""

    name: str
    class_path: str | None
    description: str | None
    startable: bool = Field(description="Whether this server has its code: it can be started and answered here.")
    workers: int
    live_runs: int
    ended_runs: int


class Workflows(BaseModel):
    """All workflows, by name."""

    workflows: list[WorkflowInfo]


class Schemas(BaseModel):
    """JSON schemas of a workflow's events."""

    workflow: str
    start: str | None = Field(description="Class of the start event.")
    events: dict[str, dict[str, JsonValue]] = Field(description="By class; empty where this server has not the code.")


class Letters(Asked):
    """Dead letters: those named, or those the filters fit."""

    ids: list[LetterId] | None = Field(
        default=None, min_length=1, max_length=10_000, description="These and no others."
    )
    workflow: str | None = None
    step: str | None = None
    kind: str | None = None
    limit: Whole = Field(default=1_000, ge=1, le=10_000, description="At most so many.")
    dry_run: bool | None = Field(
        default=None,
        description="Tell which letters it would be, and leave them alone. So it is unless they are named.",
    )


class Dropped(BaseModel):
    """The dead letters that it was about, and how many of them there were and are no more."""

    dropped: int
    dry_run: bool
    ids: list[str]


class Retried(BaseModel):
    """The run in which each goes on, or why there is none; of a dry run neither."""

    dry_run: bool
    letters: list[Again]


class Rerun(Asked):
    """How a run is to be done again."""

    from_step: str | None = Field(
        default=None,
        description=(
            "One of its `unfinished` steps: go on from what it had not finished. Another one that it has executed: "
            "execute that again, with what comes of it, and nothing else that was finished. Null: do it whole."
        ),
    )
    run_id: str | None = Field(default=None, description="Of the new run; the same one again is the run there is.")


class Health(BaseModel):
    """Whether the process works."""

    status: Literal["ok", "unreachable"]
    detail: str | None = None


class Problem(BaseModel):
    """Why something was refused."""

    error: str = Field(description="Kind of the error.")
    detail: str
