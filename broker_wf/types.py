"""Type variables for what a run gives."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypeVar

from broker_wf.events import StartEvent, StopEvent

StopEventT = TypeVar("StopEventT", bound=StopEvent)

StartT = TypeVar("StartT", bound=StartEvent, default=Any)
"""The class of a workflow's start event, where it is told: ``class Flow(Workflow[MyStart, MyStop])``."""

StopT = TypeVar("StopT", bound=StopEvent, default=Any)
"""The class of its stop event, likewise: what ``run()`` gives then has a type."""

RunResultT = StopEventT | Any
"""What awaiting a run gives: the stop event if it is of a subclass, else its ``result``."""
