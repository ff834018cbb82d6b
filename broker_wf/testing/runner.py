"""Run a workflow to its end and keep all that it published."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from broker_wf.context import Context
from broker_wf.events import Event, EventType, StartEvent
from broker_wf.workflow import Workflow


@dataclass
class WorkflowTestResult:
    """What a run has shown.

    Attributes:
        collected: the events of its stream, in order.
        event_types: how many there are of each class.
        result: what awaiting the run gave.
        ctx: its context.
    """

    collected: list[Event]
    event_types: dict[EventType, int]
    result: Any
    ctx: Context[Any]


class WorkflowTestRunner:
    """Runs a workflow from its start to its end."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    async def run(
        self,
        start_event: StartEvent | None = None,
        ctx: Context[Any] | None = None,
        expose_internal: bool = True,
        exclude_events: list[EventType] | None = None,
    ) -> WorkflowTestResult:
        """Run it once.

        Args:
            start_event: what it begins with; None: a ``StartEvent`` without values.
            ctx: as for ``Workflow.run``.
            expose_internal: collect the engine's own events too.
            exclude_events: classes to leave out; classes derived from them are kept.

        Raises:
            Exception: whatever ``run``, the stream or awaiting the run raises.
        """
        handler = self._workflow.run(ctx=ctx, start_event=StartEvent() if start_event is None else start_event)
        left_out = set(exclude_events or ())
        events = handler.stream_events(expose_internal=expose_internal)
        collected = [event async for event in events if type(event) not in left_out]
        return WorkflowTestResult(
            collected=collected,
            event_types=dict(Counter(type(event) for event in collected)),
            result=await handler,
            ctx=handler.ctx,
        )
