"""Lines that the steps of runs log, on their way to the server: gathered, and sent a few times a second."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from broker_wf.broker.logs import LogLine, LogStore
from broker_wf.core.ids import RunId, WorkerId
from broker_wf.worker.log_fields import LogFields

_APART_S = 0.2
_LONGEST = 4_000
"""Characters of one line."""
_MOST_HELD = 16 * 1024 * 1024
"""Bytes of lines that are gathered or on their way; further ones are dropped, as where the server has gone."""
_OWN = ("broker_wf.run", "broker_wf.step", "broker_wf.verbose")
"""Of our own loggers those that speak of a run."""
_formatter = logging.Formatter()


@dataclass(slots=True, kw_only=True)
class RunLogs:
    """Takes the lines of all steps of one worker.

    Attributes:
        most: lines that are kept of a run.
    """

    store: LogStore
    worker: WorkerId
    most: int
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _lines: dict[str, deque[bytes]] = field(default_factory=dict[str, "deque[bytes]"])
    _held: int = 0
    _due: bool = False
    _sent: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def take(self, record: logging.LogRecord, fields: LogFields) -> None:
        """Keep a record; from any thread."""
        if record.name.startswith("broker_wf.") and record.name not in _OWN:
            return
        line = _line(record, fields).packed
        with self._guard:
            lines = self._lines.setdefault(fields["run_id"], deque())
            if len(lines) == self.most:
                self._held -= len(lines.popleft())
            if self._held > _MOST_HELD:
                return
            lines.append(line)
            self._held += len(line)
            was_due, self._due = self._due, True
        if not was_due:
            self._wake()

    def flush(self) -> None:
        """Send what was gathered, with what else is about to be sent; the steps do not wait for it."""
        if not self._lines:
            return
        with self._guard:
            gathered, self._lines, self._due = self._lines, {}, False
        for run_id, lines in gathered.items():
            self._sent += 1
            reply = asyncio.ensure_future(
                self.store.add(RunId(run_id), self.worker, self._sent, self.most, list(lines)), loop=self.loop
            )
            reply.add_done_callback(partial(self._answered, sum(map(len, lines))))

    def _answered(self, size: int, reply: asyncio.Future[object]) -> None:
        """A server that is full, or has gone, keeps no lines."""
        with self._guard:
            self._held -= size
        if not reply.cancelled():
            reply.exception()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # a thread may outlive the worker's loop
            self.loop.call_soon_threadsafe(self.loop.call_later, _APART_S, self.flush)


def _line(record: logging.LogRecord, fields: LogFields) -> LogLine:
    return LogLine(
        at_ms=round(record.created * 1000),
        level=record.levelname,
        rank=record.levelno,
        logger=record.name,
        step=fields["step"],
        attempt=fields["attempt"],
        worker=fields["worker"],
        text=_text(record),
    )


def _text(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001 - the arguments are the user's, and a line must not fail a step
        text = f"{record.msg!r} {record.args!r}"
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
        text += f"\n{_formatter.formatException(record.exc_info)}"
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half:,} characters …\n{text[-half:]}"
    return text.encode("utf-8", "replace").decode()
