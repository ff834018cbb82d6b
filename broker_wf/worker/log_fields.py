"""What is under execution, for the log lines written meanwhile: those of user code and of its libraries too."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TypedDict

from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import WorkerId


class LogFields(TypedDict):
    """Which attempt of which step of which run, and where."""

    run_id: str
    step: str
    attempt: int
    worker: str


_current: ContextVar[LogFields | None] = ContextVar("log_fields", default=None)


def begin_logging(delivery: Delivery, worker: WorkerId) -> None:
    """From now on the lines of this task, and of what it starts, belong to a delivery."""
    _current.set(LogFields(run_id=delivery.run_id, step=delivery.step, attempt=delivery.attempt, worker=worker))


def log_fields() -> LogFields | None:
    """What the lines written here belong to; None outside a step."""
    return _current.get()
