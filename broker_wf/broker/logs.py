"""What the steps of a run have logged."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass
from typing import cast

from broker_wf.broker.connection import Pipe
from broker_wf.broker.packing import pack, unpack_text
from broker_wf.broker.script import load
from broker_wf.core.ids import RunId, WorkerId

_CURSOR = re.compile(r"[0-9]{1,18}-[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line.

    Attributes:
        at_ms: when it was logged, by the worker's clock.
        level: name of the level.
        rank: number of the level.
        text: the message, and the traceback behind it.
    """

    at_ms: int
    level: str
    rank: int
    logger: str
    step: str
    attempt: int
    worker: str
    text: str

    @property
    def packed(self) -> bytes:
        """As it is kept."""
        return pack(asdict(self))


@dataclass(frozen=True, slots=True)
class LogStore:
    """The last lines of each run."""

    pipe: Pipe

    def add(self, run_id: RunId, worker: WorkerId, number: int, most: int, lines: Sequence[bytes]) -> Awaitable[object]:
        """Keep lines of a run; nothing is kept for one that is not there.

        Args:
            number: larger than that of what this worker has sent before.
            most: lines of the run that are kept in all.

        Raises (when awaited):
            BackpressureError: the server is out of memory.
        """
        plan = {"worker": worker, "number": number, "most": most, "lines": list(lines)}
        return self.pipe.call(load("log"), run_id, plan)

    async def read(self, run_id: RunId, after: str, count: int) -> list[tuple[str, LogLine]]:
        """Lines behind a cursor, oldest first, each with its own cursor; an empty one is the beginning.

        Raises:
            ValueError: ``after`` is no cursor.
        """
        if after and not _CURSOR.fullmatch(after):
            raise ValueError(f"{after!r} is no cursor of a run's log")
        key = self.pipe.keys.of("logs", run_id)
        raw = await self.pipe.command("XRANGE", key, f"({after}" if after else "-", "+", "COUNT", count)
        return [_line(one) for one in cast("list[object]", raw or [])]


def _line(raw: object) -> tuple[str, LogLine]:
    entry_id, fields = cast("tuple[bytes, object]", raw)
    packed = cast("dict[bytes, bytes]", fields)[b"l"] if isinstance(fields, dict) else cast("list[bytes]", fields)[1]
    return entry_id.decode(), LogLine(**unpack_text(packed))  # pyright: ignore[reportArgumentType]
