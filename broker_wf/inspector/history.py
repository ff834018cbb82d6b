"""What is kept of a run's course: its executions, what it published, and what its steps take and give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from broker_wf.core.ids import WorkflowName
from broker_wf.inspector.inspector import Inspector
from broker_wf.inspector.records import record_of
from broker_wf.inspector.replies import text
from broker_wf.inspector.views import EventView, ExecutionView, RunView

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvents:
    """Names of the events a step takes and gives, as its workflow has declared them."""

    takes: frozenset[str]
    gives: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The course of a run up to now.

    Attributes:
        executions: in the order of their starts, then what waits.
        published: its feed; a trimmed one lacks the oldest events.
        steps: what is known of them; empty if the namespace does not know the workflow, because it ran in process.
    """

    run: RunView
    executions: tuple[ExecutionView, ...]
    published: tuple[EventView, ...]
    steps: Mapping[str, StepEvents]


async def history_of(inspector: Inspector, run_id: str) -> History:
    """Read the course of a run.

    Raises:
        RunNotFoundError, AmbiguousRunIdError: as :meth:`Inspector.run_id`.
    """
    run = await inspector.run(run_id)
    published: list[EventView] = []
    while page := await inspector.events(run.run_id, after=published[-1].seq if published else 0, limit=_PAGE):
        published += page
    return History(
        run=run,
        executions=tuple(await inspector.steps(run.run_id)),
        published=tuple(published),
        steps=await _steps(inspector, run.workflow),
    )


def steps_of_facts(facts: Mapping[str, object]) -> dict[str, StepEvents]:
    """What the facts of a workflow say of its steps, whether packed once or not."""
    steps = [record_of_map(one) for one in cast("list[object]", facts.get("steps", []))]
    return {
        text(step["name"]): StepEvents(
            takes=_names(cast("list[list[object]]", step["takes"])),
            gives=_names(cast("list[list[object]]", [step["gives"], step["lists"]])),
        )
        for step in steps
    }


def record_of_map(raw: object) -> dict[str, object]:
    """A map with texts as keys."""
    return {text(key): value for key, value in cast("dict[object, object]", raw).items()}


async def _steps(inspector: Inspector, workflow: str) -> dict[str, StepEvents]:
    found = await inspector.broker.roster.definition(WorkflowName(workflow))
    return steps_of_facts(record_of(found[1])) if found and found[1] else {}


def _names(groups: list[list[object]]) -> frozenset[str]:
    return frozenset(text(name) for group in groups for name in group)
