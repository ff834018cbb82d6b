"""Blobs are asked for and sent once, as far as a process can know."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from broker_wf.broker.blobs import BlobStore
from broker_wf.broker.connection import Pipe
from broker_wf.broker.keys import Keys
from broker_wf.core.ids import RunId
from broker_wf.wire.blobs import Blob, BlobCache
from broker_wf.wire.envelope import seal_referring
from broker_wf.wire.limits import Limits

RUN = RunId("r")
MIB = 1024 * 1024


class Wire:
    """Stands for the server: keeps blobs, and replies when it is told to."""

    def __init__(self) -> None:
        self.keys = Keys("test")
        self.kept: dict[bytes, bytes] = {}
        self.reads: list[tuple[bytes, ...]] = []
        self.writes: list[bytes] = []
        self.open = asyncio.Event()

    async def command(self, *args: Any) -> object:
        self.reads.append(args[2:])
        await self.open.wait()
        return [self.kept.get(hash_) for hash_ in args[2:]]

    async def call(self, script: object, run_id: str, hash_: bytes, part: bytes) -> object:
        self.writes.append(hash_)
        await self.open.wait()
        self.kept[hash_] = part
        return [b"OK"]


def blob(n: int, size: int = 2_000) -> Blob:
    return Blob(hash=bytes([n]) * 16, size=size, sealed=b"s" * size)


def payload(*blobs: Blob) -> bytes:
    return seal_referring(b"", blobs, Limits())


def store_on(wire: Wire, cache_bytes: int = 0) -> BlobStore:
    return BlobStore(cast("Pipe", wire), BlobCache(cache_bytes))


@pytest.fixture
async def wire() -> Wire:
    return Wire()


async def test_payloads_without_references_ask_for_nothing(wire: Wire) -> None:
    found = await store_on(wire).fetch(RUN, [b"\x10\x01", b"", b"nonsense"])
    assert not found.sealed
    assert not wire.reads


async def test_a_blob_that_many_payloads_refer_to_is_asked_for_once(wire: Wire) -> None:
    wire.open.set()
    wire.kept = {blob(n).hash: blob(n).sealed for n in (1, 2)}
    found = await store_on(wire).fetch(RUN, [payload(blob(1)), payload(blob(2), blob(1)), payload(blob(3))])
    assert found.sealed == wire.kept
    assert wire.reads == [(blob(1).hash, blob(2).hash, blob(3).hash)]


async def test_a_blob_that_is_asked_for_already_is_not_asked_for_again(wire: Wire) -> None:
    store = store_on(wire)
    wire.kept = {blob(n).hash: blob(n).sealed for n in (1, 2)}
    fetches = [asyncio.create_task(store.fetch(RUN, [payload(*blobs)])) for blobs in ([blob(1)], [blob(1), blob(2)])]
    cancelled = asyncio.create_task(store.fetch(RUN, [payload(blob(1))]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cancelled.cancel()
    wire.open.set()
    first, second = await asyncio.gather(*fetches)
    assert set(first.sealed) == {blob(1).hash}
    assert set(second.sealed) == {blob(1).hash, blob(2).hash}
    assert wire.reads == [(blob(1).hash,), (blob(2).hash,)]


async def test_one_reply_is_not_made_too_long(wire: Wire) -> None:
    wire.open.set()
    await store_on(wire).fetch(RUN, [payload(*(blob(n, 10 * MIB) for n in range(3)), blob(3, 6 * MIB))])
    assert [len(hashes) for hashes in wire.reads] == [1, 1, 2]


async def test_what_this_process_has_met_is_not_asked_for(wire: Wire) -> None:
    store = store_on(wire, MIB)
    store.cache.keep(blob(1), "the text")
    found = await store.fetch(RUN, [payload(blob(1))])
    assert found.sealed == {blob(1).hash: blob(1).sealed}
    assert found.values == {blob(1).hash: "the text"}
    assert not wire.reads


async def test_a_blob_is_sent_once_for_each_run(wire: Wire) -> None:
    wire.open.set()
    store = store_on(wire)
    await store.put(RUN, [blob(1), blob(2)])
    await store.put(RUN, [blob(1), blob(3)])
    await store.put(RunId("other"), [blob(1)])
    assert wire.writes == [blob(n).hash for n in (1, 2, 3, 1)]


async def test_what_a_payload_refers_to_need_not_be_sent(wire: Wire) -> None:
    wire.open.set()
    wire.kept = {blob(1).hash: blob(1).sealed}
    store = store_on(wire)
    await store.fetch(RUN, [payload(blob(1), blob(2))])
    await store.put(RUN, [blob(1), blob(2)])
    assert wire.writes == [blob(2).hash]


async def test_what_the_server_has_lost_is_sent_again(wire: Wire) -> None:
    wire.open.set()
    store = store_on(wire)
    await store.put(RUN, [blob(1)])
    store.forget(RUN, [blob(1)])
    await store.put(RUN, [blob(1)])
    assert len(wire.writes) == 2


async def test_what_was_not_sent_is_not_taken_for_known(wire: Wire) -> None:
    store = store_on(wire)
    sending = asyncio.create_task(store.put(RUN, [blob(1)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    wire.open.set()
    await store.put(RUN, [blob(1)])
    assert len(wire.writes) == 2


async def test_no_more_than_ten_thousand_blobs_are_remembered(wire: Wire) -> None:
    wire.open.set()
    store = store_on(wire)
    await store.put(RUN, [blob(1)])
    for n in range(10_000):
        await store.put(RunId(str(n)), [blob(2)])
    await store.put(RUN, [blob(1)])
    assert wire.writes.count(blob(1).hash) == 2
