"""Names of strings. Each kind of id has its own type, so that one cannot be passed for another."""

from __future__ import annotations

from typing import NewType

RunId = NewType("RunId", str)
"""One execution of a workflow."""

WorkflowName = NewType("WorkflowName", str)
"""What a workflow is known by in a namespace."""

StepName = NewType("StepName", str)

EventName = NewType("EventName", str)
"""The wire's name of an event class: ``__name__``, or the qualified name where two classes share it."""

DeliveryId = NewType("DeliveryId", str)
"""``<event id>@<step>``: one event handed to one step."""

EventId = NewType("EventId", str)

CollectionId = NewType("CollectionId", str)
"""One execution of a step that returned a list: what descends from it is followed under this id."""

Fence = NewType("Fence", str)
"""The random nonce of a lease."""

WorkerId = NewType("WorkerId", str)

DriverId = NewType("DriverId", str)

Digest = NewType("Digest", str)
"""Hash of a workflow's graph: steps, what they take and return."""

Lane = NewType("Lane", str)
"""What a worker serves: a workflow's work, in one queue, possibly of one graph digest only."""

PRIORITIES = ("high", "low")
"""Of runs that have streams of their own for it: those of ``<lane>#<priority>``."""

Partition = NewType("Partition", int)
