"""Type variables for what a run gives."""

from __future__ import annotations

from typing import Any, TypeVar

from broker_wf.events import StopEvent

StopEventT = TypeVar("StopEventT", bound=StopEvent)

RunResultT = StopEventT | Any
"""What awaiting a run gives: the stop event if it is of a subclass, else its ``result``."""
