"""Logs of a worker: one line per event on stderr."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

from broker_wf.context.run_logger import run_logger
from broker_wf.worker.log_fields import log_fields

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("plain", "json")


def set_up_logs(level: str, style: str) -> None:
    """Send the logs of this process, user code's too, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if style == "json" else _PlainLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    handler.setLevel(level)
    run_logger.setLevel(min(run_logger.level, root.level))
    logging.captureWarnings(capture=True)


class _PlainLines(logging.Formatter):
    """Time, level, process, logger, the step, message; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        fields = log_fields() or {}
        step = " ".join(f"{name}={value}" for name, value in fields.items())
        head = f"{_moment(record)} {record.levelname:<7} {record.process} {record.name}: {step and f'[{step}] '}"
        lines = [head + record.getMessage().replace("\n", "\n    ")]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return "\n".join(lines)


class _JsonLines(logging.Formatter):
    """One JSON object a line; what is written in a step has ``run_id``, ``step``, ``attempt`` and ``worker``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _moment(record),
            "level": record.levelname,
            "pid": record.process,
            "logger": record.name,
            **(log_fields() or {}),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _moment(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
