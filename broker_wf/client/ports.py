"""What a client asks of either transport, and what goes both ways besides the views of the inspector."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from pydantic.fields import FieldInfo

from broker_wf.again import Again
from broker_wf.core.run_options import RunOptions
from broker_wf.events import Event
from broker_wf.inspector.searching import RunFilter
from broker_wf.inspector.views import (
    DeadLetterView,
    EventView,
    ExecutionView,
    LogView,
    RunSummary,
    RunView,
    WorkerView,
    WorkflowView,
)

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """A page of runs, newest first.

    Attributes:
        next: goes into ``cursor`` to ask for the next page; None: there is no more.
    """

    runs: list[RunSummary]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether runs can be started and asked for.

    Attributes:
        detail: why not.
    """

    ok: bool
    detail: str | None = None


class Runs(Protocol):
    """Runs, by their whole ids. All of it may be asked for again: nothing happens twice."""

    async def submit(self, workflow: str, values: Fields, run_id: str, options: RunOptions) -> None:
        """Start a run, unless there is one with this id."""
        ...

    async def page(self, wanted: RunFilter, limit: int, cursor: str | None) -> RunPage:
        """Runs, newest first."""
        ...

    async def show(self, run_id: str) -> RunView:
        """How a run stands."""
        ...

    async def ended(self, run_id: str) -> None:
        """Wait for the end of a run."""
        ...

    async def steps(self, run_id: str) -> list[ExecutionView]:
        """Its executions."""
        ...

    def events(self, run_id: str, after: int) -> AsyncGenerator[EventView, None]:
        """What it publishes behind a sequence number, until its end."""
        ...

    async def logs(self, run_id: str, limit: int) -> list[LogView]:
        """What its steps have logged."""
        ...

    async def send(self, run_id: str, name: str, values: Fields, step: str | None, event_id: str) -> None:
        """Hand it an event, once per id of the event."""
        ...

    async def cancel(self, run_id: str) -> str:
        """End it. Returns how it stands then."""
        ...

    async def rerun(self, run_id: str, from_step: str | None, new_id: str) -> None:
        """Do it again as another run, once per id of that."""
        ...


class Fleet(Protocol):
    """What executes runs, and what was given up on."""

    async def workers(self) -> list[WorkerView]:
        """Those that are alive."""
        ...

    async def workflows(self) -> list[WorkflowView]:
        """Those that are known, with their load."""
        ...

    async def dead_letters(self, limit: int) -> list[DeadLetterView]:
        """Newest first."""
        ...

    async def retry(self, ids: Sequence[str]) -> list[Again]:
        """Let runs go on from dead letters."""
        ...

    async def drop(self, ids: Sequence[str]) -> int:
        """Forget dead letters. Returns how many there were."""
        ...

    async def health(self) -> Health:
        """Whether the server answers; never raises because it does not."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """One way to a namespace."""

    runs: Runs
    fleet: Fleet


def values_of(event: Event | Fields | None) -> dict[str, object]:
    """What travels of an event: its values as JSON has them, over either transport the same."""
    if event is None:
        return {}
    if not isinstance(event, Event):
        return dict(event)
    names = {name: _given_as(type(event), name, field) for name, field in type(event).model_fields.items()}
    dumped = cast("dict[str, object]", event.model_dump(mode="json"))
    return {names.get(name, name): value for name, value in dumped.items()}


def _given_as(cls: type[Event], name: str, field: FieldInfo) -> str:
    """Under which name the class takes a field."""
    by_name = cls.model_config.get("populate_by_name") or cls.model_config.get("validate_by_name")
    return field.validation_alias if isinstance(field.validation_alias, str) and not by_name else name
