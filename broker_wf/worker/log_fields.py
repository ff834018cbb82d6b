"""What is under execution, for the log lines written meanwhile: those of user code and of its libraries too."""

from __future__ import annotations

import logging
from collections.abc import Callable
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


Taker = Callable[[logging.LogRecord, LogFields], None]
_TAKEN = "broker_wf_taken"

_current: ContextVar[LogFields | None] = ContextVar("log_fields", default=None)
_taker: ContextVar[Taker | None] = ContextVar("log_taker", default=None)


def begin_logging(delivery: Delivery, worker: WorkerId, taker: Taker | None) -> None:
    """From now on the lines of this task, and of what it starts, belong to a delivery.

    Args:
        taker: is told each of them, where :func:`listen_to_logs` was called before.
    """
    _current.set(LogFields(run_id=delivery.run_id, step=delivery.step, attempt=delivery.attempt, worker=worker))
    _taker.set(taker)


def log_fields() -> LogFields | None:
    """What the lines written here belong to; None outside a step."""
    return _current.get()


def listen_to_logs() -> None:
    """Hear of every record that is made in this process from now on.

    By the factory of records and not by a handler: a handler of ours at the root would keep ``basicConfig`` from
    making the user's, and warnings from being printed where there is none.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, _TAKEN, False):
        return

    def made(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make(*args, **kwargs)
        taker, fields = _taker.get(), _current.get()
        if taker is not None and fields is not None and record.name and not hasattr(record, _TAKEN):
            setattr(record, _TAKEN, True)
            taker(record, fields)
        return record

    setattr(made, _TAKEN, True)
    logging.setLogRecordFactory(made)
