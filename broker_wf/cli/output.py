"""Data to stdout: JSON, or tables for people. Everything else goes to stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from pydantic_core import to_jsonable_python


class _Table(Protocol):
    def add_column(self, header: str, *, no_wrap: bool, overflow: str) -> None: ...
    def add_row(self, *cells: str) -> None: ...


class _Console(Protocol):
    def print(self, table: _Table) -> None: ...


def jsonable(value: object) -> object:
    """Any value as JSON has it: as pydantic writes it, else its repr; bytes that are no text as base64."""
    for bytes_mode in ("utf8", "base64"):
        try:
            return _finite(to_jsonable_python(value, fallback=repr, bytes_mode=bytes_mode))
        except ValueError:
            continue
    return repr(value)


def _finite(value: object) -> object:
    """JSON has no numbers that are infinite or none; they become text."""
    match value:
        case float():
            return value if math.isfinite(value) else str(value)
        case list():
            return [_finite(item) for item in cast("list[object]", value)]
        case dict():
            return {key: _finite(item) for key, item in cast("dict[str, object]", value).items()}
        case _:
            return value


def print_json(value: object) -> None:
    """Print a value as JSON: indented for people, one line of ASCII for programs."""
    if sys.stdout.isatty():
        _put(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        _put(json.dumps(value))


def print_line(value: object) -> None:
    """Print a value as one line of JSON, at once."""
    _put(json.dumps(value))
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Print a line for people."""
    _put(text)


def tell(text: str) -> None:
    """Say something that is not data."""
    _put(text, to_stderr=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: by rich on a terminal where it is installed, else in plain columns."""
    if sys.stdout.isatty() and find_spec("rich") is not None:
        _rich_table(columns, rows)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _put("  ".join(cells).rstrip())


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = cast(_Table, import_module("rich.table").Table(box=None, header_style="bold", pad_edge=False))
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    cast(_Console, import_module("rich.console").Console()).print(table)


def _put(text: str, *, to_stderr: bool = False) -> None:
    stream = sys.stderr if to_stderr else sys.stdout
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    if to_stderr:
        stream.flush()


def age(at: datetime | None) -> str:
    """How long ago a moment was, by this machine's clock."""
    if at is None:
        return "-"
    return span_ms(round((datetime.now(timezone.utc) - at).total_seconds() * 1000)) + " ago"


def span_ms(duration_ms: int | None) -> str:
    """A duration in its largest unit."""
    if duration_ms is None:
        return "-"
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")):
        if duration_ms >= unit_ms:
            return f"{duration_ms / unit_ms:.0f}{unit}"
    return f"{max(duration_ms, 0)}ms"


def size(count: int) -> str:
    """A number of bytes in its largest unit."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
