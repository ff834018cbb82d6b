"""Large parts of a run's events: written ahead of what refers to them, fetched before that is decoded."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar, cast

from broker_wf.broker.connection import Pipe
from broker_wf.broker.script import load
from broker_wf.core.ids import RunId
from broker_wf.wire.blobs import NOTHING_FETCHED, Blob, BlobCache, Fetched, process_blobs
from broker_wf.wire.envelope import Reference, references

_AT_ONCE_BYTES = 16 * 1024 * 1024
_KNOWN_BLOBS = 10_000
T = TypeVar("T")
_Key = tuple[RunId, bytes]
_Read = asyncio.Task[dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class BlobStore:
    """The blobs of runs.

    What the server is known to hold is not sent again. It may have lost it meanwhile: the scripts refuse a reference
    to a blob that is not there.
    """

    pipe: Pipe
    cache: BlobCache = process_blobs
    _known: OrderedDict[_Key, None] = field(default_factory=OrderedDict["_Key", None])
    _reads: dict[_Key, _Read] = field(default_factory=dict["_Key", "_Read"])

    async def put(self, run_id: RunId, blobs: Collection[Blob]) -> None:
        """Write blobs that the server is not known to hold. Nothing is written to a run that has ended."""
        new = [blob for blob in blobs if (run_id, blob.hash) not in self._known]
        for some in _in_portions(new, lambda blob: len(blob.sealed)):
            script = load("blob")
            await asyncio.gather(*(self.pipe.call(script, run_id, blob.hash, blob.sealed) for blob in some))
            self._note(run_id, (blob.hash for blob in some))

    def forget(self, run_id: RunId, blobs: Iterable[Blob]) -> None:
        """The server does not hold all of these."""
        for blob in blobs:
            self._known.pop((run_id, blob.hash), None)

    async def fetch(self, run_id: RunId, payloads: Iterable[bytes]) -> Fetched:
        """The blobs that encoded events of a run refer to, each once."""
        wanted = {row.hash: row for payload in payloads for row in references(payload)}
        if not wanted:
            return NOTHING_FETCHED
        sealed: dict[bytes, bytes] = {}
        values: dict[bytes, str | bytes] = {}
        for hash_ in wanted:
            kept = self.cache.find(hash_)
            if kept is not None:
                sealed[hash_] = kept.blob.sealed
                if kept.value is not None:
                    values[hash_] = kept.value
        self._note(run_id, sealed)
        missing = [row for row in wanted.values() if row.hash not in sealed]
        for some in _in_portions(missing, lambda row: row.size):
            for read in self._reading(run_id, some):
                found = await asyncio.shield(read)
                sealed |= {row.hash: found[row.hash] for row in some if row.hash in found}
        return Fetched(sealed, values)

    def _reading(self, run_id: RunId, rows: Iterable[Reference]) -> set[_Read]:
        """The reads that will bring these blobs: those under way, for others want them too, and one for the rest."""
        new = [row for row in rows if (run_id, row.hash) not in self._reads]
        if new:
            read = asyncio.get_running_loop().create_task(self._read(run_id, new))
            self._reads.update({(run_id, row.hash): read for row in new})
        return {self._reads[run_id, row.hash] for row in rows}

    async def _read(self, run_id: RunId, rows: Collection[Reference]) -> dict[bytes, bytes]:
        key = self.pipe.keys.of("blob", run_id)
        try:
            raw = cast("list[bytes | None]", await self.pipe.command("HMGET", key, *(row.hash for row in rows)))
        finally:
            for row in rows:
                del self._reads[run_id, row.hash]
        found = {row.hash: sealed for row, sealed in zip(rows, raw, strict=True) if sealed is not None}
        self._note(run_id, found)
        return found

    def _note(self, run_id: RunId, hashes: Iterable[bytes]) -> None:
        for hash_ in hashes:
            self._known[run_id, hash_] = None
        while len(self._known) > _KNOWN_BLOBS:
            self._known.popitem(last=False)


def _in_portions(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """So many that the server is not kept from others for long, and at least one."""
    portion: list[T] = []
    left = _AT_ONCE_BYTES
    for item in items:
        if portion and size_of(item) > left:
            yield portion
            portion, left = [], _AT_ONCE_BYTES
        portion.append(item)
        left -= size_of(item)
    if portion:
        yield portion
