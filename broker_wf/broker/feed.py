"""Reading the events a run publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.clients import RedisClient
from broker_wf.broker.connection import Pipe
from broker_wf.broker.keys import Keys, RedisKey
from broker_wf.broker.packing import unpack
from broker_wf.broker.script import load
from broker_wf.core.ids import DriverId, RunId
from broker_wf.errors import BackpressureError

_WAKE_LIFE_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """One published event.

    Attributes:
        seq: from 1, without gaps.
        name: class name; with a leading ``!`` an ending made by the engine, whose payload is a packed map.
        step: that published it; empty for none.
        at_ms: when, by the server's clock.
        of_waiter: what a step asks that waits for the answer itself.
        by: ``<attempt> <worker>`` that published it; empty for none.
    """

    seq: int
    name: str
    payload: bytes
    step: str
    at_ms: int
    of_waiter: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class FeedStore:
    """The feeds of runs; reading is free of locks and leaves nothing behind."""

    pipe: Pipe

    async def read(self, run_id: RunId, after: int, count: int = 500) -> list[FeedEntry]:
        """Entries behind the cursor ``after``, oldest first; 0 is the beginning."""
        key = self.pipe.keys.of("feed", run_id)
        raw = await self.pipe.command("XRANGE", key, f"({after}-0" if after > 0 else "-", "+", "COUNT", count)
        found = [_entry(one) for one in cast("list[object]", raw or [])]
        return found if found or after > 0 else await self.only(run_id)

    async def last(self, run_id: RunId, count: int) -> list[FeedEntry]:
        """The last entries, newest first."""
        raw = await self.pipe.command("XREVRANGE", self.pipe.keys.of("feed", run_id), "+", "-", "COUNT", count)
        return [_entry(one) for one in cast("list[object]", raw or [])] or await self.only(run_id)

    async def only(self, run_id: RunId) -> list[FeedEntry]:
        """The entry of a run that has published its end alone, and so has no stream; of any other run nothing."""
        key = self.pipe.keys.of("run", run_id)
        raw = await self.pipe.command("HMGET", key, "last", "result", "error", "ended_ms")
        last, result, error, ended_ms = cast("list[bytes | None]", raw)
        entry = last and _end_entry(last, result or error or b"", int(ended_ms or 0))
        return [entry] if entry else []

    async def stream(self, run_id: RunId) -> bool:
        """Have the end of a run told in its feed, for who blocks there. False: it has ended, or is not there."""
        reply = cast("list[bytes]", await self.pipe.call(load("stream"), run_id))
        return reply[0] == b"OK"

    async def wake(self, driver: DriverId) -> None:
        """End the driver's blocked read, because it has to read other feeds; a full server lets it end by itself."""
        key = self.pipe.keys.of("wake", driver)
        # Both at once: who is cancelled between them would leave a key that never expires.
        with suppress(BackpressureError):
            await asyncio.gather(
                self.pipe.command("XADD", key, "MAXLEN", 1, "*", "w", 1),
                self.pipe.command("PEXPIRE", key, _WAKE_LIFE_MS),
            )


async def wait_for_feeds(
    client: RedisClient,
    keys: Keys,
    driver: DriverId,
    cursors: Mapping[RunId, int],
    wake_from: str,
    block_ms: int,
) -> tuple[dict[RunId, list[FeedEntry]], str]:
    """One blocked read of several feeds and of the driver's own wake stream.

    Returns:
        New entries per run, and the wake stream's new position.
    """
    wake_key = keys.of("wake", driver)
    names = {keys.of("feed", run_id): run_id for run_id in cursors}
    ids = [f"{cursors[run_id]}-0" for run_id in names.values()]
    raw = await client.execute_command(
        "XREAD", "COUNT", 500, "BLOCK", block_ms, "STREAMS", *names, wake_key, *ids, wake_from
    )
    found: dict[RunId, list[FeedEntry]] = {}
    for key, entries in _streams(raw):
        if key == wake_key:
            wake_from = cast("tuple[bytes, object]", entries[-1])[0].decode()
        else:
            found[names[RedisKey(key)]] = [_entry(one) for one in entries]
    return found, wake_from


def _end_entry(packed: bytes, value: bytes, at_ms: int) -> FeedEntry:
    name, payload, step, by = cast("tuple[bytes, bytes | bool, bytes, bytes]", unpack(packed))
    return FeedEntry(
        seq=1,
        name=name.decode(),
        payload=value if isinstance(payload, bool) else payload,
        step=step.decode(),
        at_ms=at_ms,
        by=by.decode(),
    )


def _streams(raw: object) -> list[tuple[str, list[object]]]:
    if not raw:
        return []
    pairs = (
        cast("dict[bytes, object]", raw).items() if isinstance(raw, dict) else cast("list[tuple[bytes, object]]", raw)
    )
    return [(key.decode(), cast("list[object]", entries)) for key, entries in pairs]


def _entry(raw: object) -> FeedEntry:
    entry_id, fields = cast("tuple[bytes, object]", raw)
    if not isinstance(fields, dict):
        flat = cast("list[bytes]", fields)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
    values = cast("dict[bytes, bytes]", fields)
    return FeedEntry(
        seq=int(entry_id.partition(b"-")[0]),
        name=values[b"t"].decode(),
        payload=values[b"p"],
        step=values[b"s"].decode(),
        at_ms=int(values[b"at"]),
        of_waiter=b"w" in values,
        by=values.get(b"b", b"").decode(),
    )
