from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis

from broker_wf import Workflow, step
from broker_wf.broker.broker import open_broker
from broker_wf.broker.roster import RosterStore
from broker_wf.core.ids import Lane
from broker_wf.errors import ServerRefusedError, ServerUnreachableError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.faults.proxy import LosingLink
from tests.integration.stage import Stage, until, within
from tests.old_servers import old_server
from tests.servers import free_port, private_server, server_binary

SECRET = "hunter2"


class Middle(Event):
    pass


class Small(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Middle:
        return Middle()

    @step
    async def end(self, ev: Middle) -> StopEvent:
        return StopEvent(result="small")


@pytest.fixture(scope="module")
def own_server() -> Iterator[str]:
    """A server whose configuration these tests may change."""
    kind = os.environ.get("BROKER_WF_TEST_SERVER", "bundled")
    with private_server(server_binary("redis" if kind == "redis" else "bundled")) as url:
        yield url


@pytest_asyncio.fixture
async def homes() -> AsyncIterator[None]:
    """What the test has opened is closed."""
    yield
    await close_homes()


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A unix socket's path may not be long."""
    directory = Path(tempfile.mkdtemp(prefix="bwf-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def flow(url: str, **settings: int | str) -> Small:
    return Small(broker=Settings.load(url=url, namespace="connections", **settings))


@pytest.mark.usefixtures("homes")
async def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(ServerUnreachableError) as caught:
        await within(flow(f"redis://user:{SECRET}@127.0.0.1:{free_port()}/0").run())
    assert "no Redis server answers at redis://user:***@127.0.0.1:" in str(caught.value)
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


@pytest.mark.usefixtures("homes")
async def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/0"
        begun = time.monotonic()
        with pytest.raises(ServerUnreachableError) as caught:
            await within(flow(url, connect_timeout_ms=500, socket_timeout_ms=500).run())
    assert time.monotonic() - begun < 5
    assert SECRET not in str(caught.value)


@pytest.mark.usefixtures("homes")
async def test_a_driver_whose_very_first_reply_is_lost_asks_again(own_server: str, short_directory: Path) -> None:
    link = LosingLink(own_server, short_directory, seed=1)
    link.share = 1.0
    link.begin()
    try:
        handler = flow(link.url).run()
        await until(lambda: link.lost > 0)
        link.share = 0.0
        with redis.Redis.from_url(own_server) as client:
            await until(lambda: bool(client.exists(f"{{connections/0}}:run:{handler.run_id}")))
        await within(handler.cancel_run())
        await close_homes()
    finally:
        link.end()


@pytest.mark.usefixtures("homes")
async def test_what_speaks_something_else_is_refused_by_name() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(ServerRefusedError, match="it does not answer as Redis does") as caught:
            await within(flow(f"redis://:{SECRET}@127.0.0.1:{port}/0").run())
    assert SECRET not in str(caught.value)


@pytest.mark.usefixtures("homes")
async def test_what_could_not_be_reached_is_tried_again_by_the_next_run(own_server: str, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    unreachable = flow(f"unix://{path}")
    with pytest.raises(ServerUnreachableError):
        await within(unreachable.run())
    path.symlink_to(own_server.removeprefix("unix://"))
    handler = unreachable.run()
    with redis.Redis.from_url(own_server) as client:
        await until(lambda: bool(client.exists(f"{{connections/0}}:run:{handler.run_id}")))
    await within(handler.cancel_run())


@pytest.mark.usefixtures("homes")
async def test_a_wrong_password_is_told_with_its_cure(own_server: str) -> None:
    with redis.Redis.from_url(own_server) as client:
        client.config_set("requirepass", "right")
        try:
            for url in (own_server, own_server.replace("unix://", f"unix://:{SECRET}@")):
                with pytest.raises(ServerRefusedError, match="BROKER_WF_PASSWORD_FILE") as caught:
                    await within(flow(url).run())
                assert SECRET not in str(caught.value)
        finally:
            client.config_set("requirepass", "")


@pytest.mark.usefixtures("homes")
async def test_a_password_may_come_from_a_file(own_server: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("right\n")
    with redis.Redis.from_url(own_server) as client:
        client.config_set("requirepass", "right")
        try:
            handler = flow(own_server, password_file=str(file)).run()
            await within(handler.cancel_run())
            await close_homes()
        finally:
            client.config_set("requirepass", "")


@pytest.mark.usefixtures("homes")
async def test_a_server_that_may_evict_keys_is_refused(own_server: str) -> None:
    with redis.Redis.from_url(own_server) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(ServerRefusedError) as caught:
                await within(flow(own_server).run())
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert "it may evict keys (maxmemory-policy allkeys-lru), which loses work" in str(caught.value)
    assert caught.value.cure == "Set maxmemory-policy noeviction."


@pytest.mark.usefixtures("homes")
async def test_a_replica_is_refused(own_server: str) -> None:
    with redis.Redis.from_url(own_server) as client:
        client.replicaof("127.0.0.1", 1)
        try:
            with pytest.raises(ServerRefusedError, match="it is a replica") as caught:
                await within(flow(own_server).run())
        finally:
            client.replicaof("no", "one")
    assert caught.value.cure == "Use the address of the master."


@pytest.mark.usefixtures("homes")
async def test_a_server_that_is_too_old_is_refused() -> None:
    with old_server() as url:
        with pytest.raises(ServerRefusedError, match=r"its version is 6\.2\.14") as caught:
            await within(flow(url).run())
        await close_homes()
    assert caught.value.cure == "Use Redis 7.0 or later, or Valkey 7.2 or later."


async def test_a_driver_says_how_to_start_a_worker_when_there_is_none(
    cluster: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.change(no_worker_warning_ms=50)
    caplog.set_level(logging.WARNING, "broker_wf")
    handler = cluster.flow(Small).run()
    await until(lambda: "no worker serves" in caplog.text)
    assert f"no worker serves workflow {__name__}.Small; its runs wait until one does" in caplog.text
    assert f"broker-wf worker {__name__}:Small --url {cluster.url}" in caplog.text
    assert f"--namespace {cluster.settings.namespace}" in caplog.text
    await cluster.add_worker(Small)
    assert await within(handler) == "small"


async def test_a_driver_says_that_no_worker_can_import_a_class_of_a_function(
    cluster: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    class Local(Small):
        pass

    cluster.change(no_worker_warning_ms=50)
    caplog.set_level(logging.WARNING, "broker_wf")
    handler = cluster.flow(Local).run()
    await until(lambda: "no worker serves" in caplog.text)
    assert "<locals>.Local is defined in a function, where no other process can import it" in caplog.text
    assert "broker-wf worker" not in caplog.text
    await within(handler.cancel_run())


async def test_nothing_is_said_where_a_worker_serves(cluster: Stage, caplog: pytest.LogCaptureFixture) -> None:
    cluster.change(no_worker_warning_ms=0)
    caplog.set_level(logging.WARNING, "broker_wf")
    small = await cluster.put_on(Small)
    assert await within(small.run()) == "small"
    assert await within(small.run()) == "small"
    assert "no worker serves" not in caplog.text


@pytest.mark.usefixtures("homes")
async def test_the_warning_holds_no_password(own_server: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "broker_wf")
    with redis.Redis.from_url(own_server) as client:
        client.config_set("requirepass", SECRET)
        try:
            url = own_server.replace("unix://", f"unix://:{SECRET}@")
            handler = flow(url, no_worker_warning_ms=50).run()
            await until(lambda: "no worker serves" in caplog.text)
            await within(handler.cancel_run())
            await close_homes()
        finally:
            client.config_set("requirepass", "")
    assert SECRET not in caplog.text


def test_event_loops_may_come_one_after_another_in_one_process(namespace: str) -> None:
    small = Small(broker=Settings.load(namespace=namespace))

    async def run() -> object:
        return await within(small.run())

    assert [asyncio.run(run()) for _ in range(3)] == ["small"] * 3


def test_a_driver_may_have_one_event_loop_after_another(server_url: str, namespace: str) -> None:
    stage = Stage(Settings.load(url=server_url, namespace=namespace))
    small = stage.flow(Small)

    async def run() -> object:
        return await within(small.run())

    asyncio.run(within(stage.add_worker(Small)))
    assert [asyncio.run(run()) for _ in range(3)] == ["small"] * 3
    asyncio.run(stage.clear())
    assert stage.audit() == []


async def test_a_home_that_was_closed_before_its_warning_was_due_asks_the_server_nothing_more(
    cluster: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would open a connection that nobody closes."""
    cluster.change(no_worker_warning_ms=100)
    asked: list[str] = []
    original = RosterStore.serving

    async def serving(roster: RosterStore, lane: Lane, fresh_ms: int) -> int:
        asked.append(lane)
        return await original(roster, lane, fresh_ms)

    monkeypatch.setattr(RosterStore, "serving", serving)
    handler = cluster.flow(Small).run()
    with redis.Redis.from_url(cluster.url) as client:
        await until(lambda: bool(client.exists(cluster.keys.of("run", handler.run_id))))
    await within(handler.cancel_run())
    await close_homes()
    before, passed = len(asked), asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, passed.set)
    await within(passed.wait())
    assert len(asked) == before


@pytest.mark.parametrize("turns", range(6))
async def test_calls_are_answered_though_the_task_that_sends_them_was_cancelled(
    server_url: str, namespace: str, turns: int
) -> None:
    """As an event loop that ends does with all its tasks, while a worker still says goodbye."""
    broker = await open_broker(Settings.load(url=server_url, namespace=namespace), server_url, patience_s=None)
    before = broker.pipe.command("ECHO", "before")
    for _ in range(turns):
        await asyncio.sleep(0)
    sender = broker.pipe._sender
    assert sender is not None
    sender.cancel()
    after = broker.pipe.command("ECHO", "after")
    assert await within(asyncio.gather(before, after)) == [b"before", b"after"]
    await broker.pipe.close()


async def test_nothing_is_sent_for_those_who_wait_no_more(server_url: str, namespace: str) -> None:
    broker = await open_broker(Settings.load(url=server_url, namespace=namespace), server_url, patience_s=None)
    given_up = asyncio.ensure_future(broker.pipe.command("PING"))
    sender = broker.pipe._sender
    assert sender is not None
    sender.cancel()
    given_up.cancel()
    await asyncio.wait([sender])
    await asyncio.sleep(0)
    assert broker.pipe._sender is sender
    assert broker.pipe._waiting == []
    await broker.pipe.close()
