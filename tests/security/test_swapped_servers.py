"""A server replaced under a worker: what is asked of a server at the start is asked again when it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from broker_wf.broker.keys import Keys
from broker_wf.handler import WorkflowHandler
from broker_wf.settings import Settings
from tests.old_servers import old_server
from tests.security.app import Security
from tests.security.network import (
    ENOUGH_S,
    SECRET,
    PortServer,
    serving_worker,
    start_process,
    until,
    wait_for_answer,
)

pytestmark = pytest.mark.usefixtures("homes")
NAMESPACE = "swapped"
KEYS = Keys(NAMESPACE)
QUICK = {"heartbeat_ms": 300, "sweep_ms": 200, "block_ms": 300}
ANSWER = 0 + 1 + 2


@contextmanager
def another(server: PortServer, directory: Path, *words: str) -> Iterator[None]:
    """In its place, on its port, a server that differs in this; with its data or without."""
    server.kill()
    process = start_process(server.binary, directory, [*server.words, *words])
    try:
        wait_for_answer(server.port, process)
        yield
    finally:
        process.kill()
        process.wait()


def begun(server: PortServer) -> WorkflowHandler:
    return Security(broker=Settings.load(url=server.url, namespace=NAMESPACE)).run()


async def within(handler: WorkflowHandler) -> object:
    return await asyncio.wait_for(handler, ENOUGH_S)


async def meanwhile(log: Path, text: str) -> None:
    await asyncio.to_thread(until, lambda: text in log.read_text(), text)


FAULTS = {
    "evicts": (["--maxmemory-policy", "allkeys-lru"], "it may evict keys (maxmemory-policy allkeys-lru)"),
    "replica": (["--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "yes"], "it is a replica"),
}
CURES = {"evicts": "Set maxmemory-policy noeviction.", "replica": "Use the address of the master."}


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_worker_does_nothing_on_a_server_that_is_unfit_and_goes_on_when_that_is_mended(
    server: PortServer, tmp_path: Path, kind: str
) -> None:
    words, reason = FAULTS[kind]
    log = tmp_path / "worker.log"
    with serving_worker(server.url, log, NAMESPACE, **QUICK):
        assert await within(begun(server)) == ANSWER
        with another(server, tmp_path / "server", *words):
            await meanwhile(log, reason)
            waiting = begun(server) if kind == "evicts" else None
            with redis.Redis(port=server.port) as client:
                beats = client.zrange(KEYS.of("roster"), 0, -1, withscores=True)
                await asyncio.sleep(1.5)
                assert client.zrange(KEYS.of("roster"), 0, -1, withscores=True) == beats
                assert "cmdstat_xreadgroup" not in client.info("commandstats"), "nothing is claimed"
                if kind == "evicts":
                    client.config_set("maxmemory-policy", "noeviction")
                else:
                    client.replicaof("no", "one")
            await meanwhile(log, "the server is back")
            assert await within(begun(server)) == ANSWER
            assert waiting is None or await within(waiting) == ANSWER
            told = log.read_text()
            assert f"{CURES[kind]} It is given nothing until then." in told
            assert told.count("It is given nothing until then.") == 1
            assert told.count("lost the server") <= 1
            assert "Traceback" not in told


async def test_nobody_reads_or_renews_on_a_server_that_is_unfit(server: PortServer, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with serving_worker(server.url, log, NAMESPACE, **QUICK, lease_ms=600):
        settings = Settings.load(url=server.url, namespace=NAMESPACE, block_ms=300)
        waiting = Security(broker=settings).run(sleeps=2.0)
        streamed = asyncio.ensure_future(anext(waiting.stream_events()))
        with redis.Redis(port=server.port) as client:
            await asyncio.to_thread(until, lambda: client.zcard(KEYS.of("watch")) > 2, "the pieces to be leased")
        with another(server, tmp_path / "server", *FAULTS["evicts"][0]):
            await meanwhile(log, "leases could not be renewed: ")
            await meanwhile(log, FAULTS["evicts"][1])
            with redis.Redis(port=server.port) as client:
                await asyncio.sleep(1.5)
                asked = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
                assert not asked & {"blpop", "xread", "fcall", "xreadgroup"}, "no blocked read, no renewal"
                client.config_set("maxmemory-policy", "noeviction")
            assert await within(waiting) == ANSWER
            assert (await asyncio.wait_for(streamed, ENOUGH_S)).result == ANSWER
    assert "Traceback" not in log.read_text()


async def test_a_server_that_knows_nothing_is_told_what_the_worker_serves(server: PortServer, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with serving_worker(server.url, log, NAMESPACE, **QUICK), another(server, tmp_path / "empty"):
        with redis.Redis(port=server.port) as client:
            name = Security().workflow_name
            told = (lambda: client.sismember(KEYS.of("workflows"), name), lambda: client.exists(KEYS.of("protocol")))
            for one in told:
                await asyncio.to_thread(until, one, "what the first server was told")
        assert await within(begun(server)) == ANSWER
        assert "Traceback" not in log.read_text()


async def test_a_master_that_becomes_a_replica_is_told_of(server: PortServer, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with serving_worker(server.url, log, NAMESPACE, **QUICK), redis.Redis(port=server.port) as client:
        client.replicaof("127.0.0.1", 1)
        await meanwhile(log, "it has become a replica. Use the address of the master.")
        client.replicaof("no", "one")
        await meanwhile(log, "the server is back")
        assert await within(begun(server)) == ANSWER
        assert log.read_text().count("has become a replica") == 1


async def test_a_server_that_has_got_a_password_is_told_of(server: PortServer, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with serving_worker(server.url, log, NAMESPACE, **QUICK):
        with another(server, tmp_path / "server", "--requirepass", "right"):
            await meanwhile(log, "Put the right password into the URL or BROKER_WF_PASSWORD_FILE.")
        with another(server, tmp_path / "server"):
            assert await within(begun(server)) == ANSWER
        assert "Traceback" not in log.read_text()
        assert "right'" not in log.read_text()


async def test_a_server_that_is_too_old_is_told_of(server: PortServer, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with serving_worker(server.url, log, NAMESPACE, **QUICK):
        server.kill()
        with old_server(server.port):
            await meanwhile(log, "its version is 6.2.14. Use Redis 7.0 or later, or Valkey 7.2 or later.")
        with another(server, tmp_path / "server"):
            assert await within(begun(server)) == ANSWER


async def test_no_log_and_no_password_are_told_of(server: PortServer, tmp_path: Path) -> None:
    """On another machine; 0.0.0.0 counts as one, though it leads to this one."""
    log, url = tmp_path / "worker.log", f"redis://:{SECRET}@0.0.0.0:{server.port}"
    password = ("--requirepass", SECRET)
    with another(server, tmp_path / "server", *password), serving_worker(url, log, NAMESPACE, **QUICK):
        with redis.Redis(port=server.port, password=SECRET) as client:
            client.config_set("appendonly", "no")
            client.client_kill_filter(_type="normal", skipme=True)
            await meanwhile(log, "it keeps no log of what it was told (appendonly no)")
            client.config_set("appendonly", "yes")
        await meanwhile(log, "the server is back")
        assert SECRET not in log.read_text()


@pytest.fixture
def slow_to_load(server: PortServer) -> PortServer:
    """A server that takes seconds to read its log, and says meanwhile that it keeps none."""
    with redis.Redis(port=server.port) as client, client.pipeline(transaction=False) as pipe:
        for n in range(6_000):  # it looks at its clients once in 1,024 commands
            pipe.set(f"filler{n}", "x")
        pipe.execute()
    server.words += ["--key-load-delay", "1000"]
    return server


async def test_a_server_that_still_reads_its_log_is_waited_for(slow_to_load: PortServer, tmp_path: Path) -> None:
    server, log, url = slow_to_load, tmp_path / "worker.log", f"redis://0.0.0.0:{slow_to_load.port}"
    with serving_worker(url, log, NAMESPACE, **QUICK, allow_insecure=1):
        server.kill()
        process = start_process(server.binary, tmp_path / "server", server.words)
        try:
            await meanwhile(log, "the server is back")
            with serving_worker(url, tmp_path / "second.log", NAMESPACE, **QUICK, allow_insecure=1):
                assert await within(begun(server)) == ANSWER
        finally:
            process.kill()
            process.wait()
        assert "keeps no log" not in log.read_text()
