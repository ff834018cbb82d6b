"""Payloads that are signed: workers and drivers with one key, with several, with none, and somebody who has none."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest
import redis

from broker_wf.broker.keys import Keys
from broker_wf.errors import DecodeError
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from broker_wf.wire.envelope import is_signed, unsigned
from tests.feed_entries import feed_entries
from tests.security.app import Security
from tests.security.network import ENOUGH_S, PortServer, serving_worker

OLD, NEW = "the-key-of-long-ago", "the-key-of-today"
pytestmark = pytest.mark.usefixtures("homes")
NAMESPACE = "signing"
KEYS = Keys(NAMESPACE)
TEXT = "t" * 4_000
ANSWER = 0 + 1 + 2


def flow(server: PortServer, key: str) -> Security:
    """The workflow in a driver that has this key."""
    return Security(broker=Settings.load(url=server.url, namespace=NAMESPACE, signing_key=key, blob_from=1_024))


async def outcome(server: PortServer, key: str) -> object:
    """How a run ends for such a driver: its result or its error."""
    running = asyncio.wait_for(flow(server, key).run(text=TEXT), ENOUGH_S)
    return (await asyncio.gather(running, return_exceptions=True))[0]


def stored(server: PortServer) -> list[bytes]:
    """All encoded values that ended runs have left: results, entries of feeds, state."""
    with redis.Redis(port=server.port, decode_responses=False) as client:
        names = cast("list[bytes]", client.zrange(KEYS.of("ended_runs", Security().workflow_name), 0, -1))
        found: list[bytes] = []
        for run in [name.decode() for name in names]:
            found.append(cast(bytes, client.hget(KEYS.of("run", run), "result")))
            found += [fields[b"p"] for _, fields in feed_entries(client, KEYS, run)]
            found += [raw.partition(b":")[2] for raw in cast("Any", client.hvals(KEYS.of("state", run)))]
        return found


def letters(server: PortServer) -> list[dict[str, Any]]:
    with redis.Redis(port=server.port) as client:
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(KEYS.of("dead")))
    return [msgpack.unpackb(one[b"letter"], strict_map_key=False, unicode_errors="replace") for _, one in entries]


def workers(server: PortServer, tmp_path: Path, *keys: str) -> ExitStack:
    """A worker with each of these keys."""
    stack = ExitStack()
    for n, key in enumerate(keys):
        given = {"signing_key": key, "blob_from": 1_024} if key else {"blob_from": 1_024}
        stack.enter_context(serving_worker(server.url, tmp_path / f"worker{n}.log", NAMESPACE, **given))
    return stack


async def test_two_workers_and_a_driver_with_one_key(server: PortServer, tmp_path: Path) -> None:
    with workers(server, tmp_path, NEW, NEW):
        assert await asyncio.gather(*(outcome(server, NEW) for _ in range(10))) == [ANSWER] * 10
    values = stored(server)
    assert len(values) >= 10 * 3
    assert all(map(is_signed, values))


async def test_what_changes_the_state_in_place_is_signed_too(server: PortServer, tmp_path: Path) -> None:
    """By steps, and from outside."""
    with workers(server, tmp_path, NEW, NEW):
        handler = flow(server, NEW).run(text=TEXT)
        assert await asyncio.wait_for(handler, ENOUGH_S) == ANSWER
        store = handler.ctx.store
        assert await store.get("worked") == 3
        assert await store.increment("worked", 2) == 5
        assert await store.append("order", 9, 10) == 5
        assert sorted(await store.get("order")) == [0, 1, 2, 9, 10]
    assert all(map(is_signed, stored(server)))


async def test_a_key_is_replaced_while_runs_go_on(server: PortServer, tmp_path: Path) -> None:
    old_first, new_first = f"{OLD},{NEW}", f"{NEW},{OLD}"
    begun = flow(server, OLD).run(text=TEXT, run_id="across")
    await asyncio.wait_for(begun.followed.broker(), ENOUGH_S)
    await close_homes()
    for driver, *others in ((OLD, OLD, old_first), (new_first, old_first, new_first), (new_first, new_first, NEW)):
        with workers(server, tmp_path, *others):
            assert await asyncio.gather(*(outcome(server, driver) for _ in range(10))) == [ANSWER] * 10
            again = flow(server, driver).run(text=TEXT, run_id="across")
            assert await asyncio.wait_for(again, ENOUGH_S) == ANSWER
        await close_homes()


async def test_keys_are_introduced_while_runs_go_on(server: PortServer, tmp_path: Path) -> None:
    for driver, *others in (("", "", f"unsigned,{NEW}"), (f"unsigned,{NEW}", f"unsigned,{NEW}", f"{NEW},unsigned")):
        with workers(server, tmp_path, *others):
            assert await asyncio.gather(*(outcome(server, driver) for _ in range(10))) == [ANSWER] * 10
        await close_homes()


async def test_a_worker_that_lacks_the_key_says_so_and_goes_on(server: PortServer, tmp_path: Path) -> None:
    with workers(server, tmp_path, ""):
        found = await outcome(server, NEW)
        assert isinstance(found, DecodeError)
        assert "it is signed, and this process has no BROKER_WF_SIGNING_KEY" in str(found)
        await close_homes()
        assert await outcome(server, "") == ANSWER
    (letter,) = letters(server)
    assert letter["kind"] == "undecodable"
    assert "BROKER_WF_SIGNING_KEY" in letter["reason"]
    assert "Traceback" not in (tmp_path / "worker0.log").read_text()


async def test_a_driver_that_lacks_the_key_is_told_which_setting(server: PortServer, tmp_path: Path) -> None:
    with workers(server, tmp_path, f"{NEW},unsigned"):
        for key, reason in (("", "it is signed, and this process has no"), (OLD, "a key that is not in the")):
            found = await outcome(server, key)
            assert isinstance(found, DecodeError)
            assert f"{reason} BROKER_WF_SIGNING_KEY" in str(found)
            await close_homes()


async def test_what_somebody_without_the_key_writes_is_refused(server: PortServer, tmp_path: Path) -> None:
    begun, forged = flow(server, NEW), list[Any]()
    with redis.Redis(port=server.port) as client:
        for forge in (unsigned, lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), lambda raw: raw[:9] + b"!" + raw[10:]):
            forged.append(begun.run(n=3))
            await asyncio.wait_for(forged[-1].followed.broker(), ENOUGH_S)
            live = KEYS.of("live", forged[-1].run_id)
            ((name, raw),) = cast("dict[bytes, bytes]", client.hgetall(live)).items()
            record = cast("dict[bytes, Any]", msgpack.unpackb(raw, raw=True, strict_map_key=False))
            record[b"p"] = forge(record[b"p"])
            client.hset(live, name.decode(), cast(bytes, msgpack.packb(record, use_bin_type=False)))
    with workers(server, tmp_path, NEW):
        ended = await asyncio.wait_for(asyncio.gather(*forged, return_exceptions=True), ENOUGH_S)
        assert await outcome(server, NEW) == ANSWER
    assert [type(one) for one in ended] == [DecodeError] * 3
    assert all("BROKER_WF_SIGNING_KEY" in str(one) for one in ended)
    assert [letter["kind"] for letter in letters(server)] == ["undecodable"] * 3
