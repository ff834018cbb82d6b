"""A delivery as a claim would give it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import DeliveryId, EventName, Fence, Lane, RunId, StepName, WorkflowName

_PLAIN = Delivery(
    run_id=RunId("r1"),
    workflow=WorkflowName("flow"),
    lane=Lane("flow"),
    id=DeliveryId("0@begin"),
    step=StepName("begin"),
    event=EventName("StartEvent"),
    payload=b"",
    attempt=1,
    crashes=0,
    fence=Fence("n1"),
    collection=None,
    joins=None,
    batch=None,
    batch_size=0,
    first_started_ms=0,
    started_ms=0,
    last_error=None,
    timeout_ms=0,
    place=None,
    buffers={},
)


def delivery(**changes: Any) -> Delivery:
    """The first delivery of a run, but for the changes."""
    return replace(_PLAIN, **changes)
