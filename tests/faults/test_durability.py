"""What `durability` reports is not taken back: by a failover to a replica (D15), or by a lost end of the log."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from broker_wf.broker.keys import Keys
from broker_wf.errors import ServerRefusedError, SettingsError
from broker_wf.handler import WorkflowHandler
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.faults.experiment import meanwhile
from tests.faults.test_lost_writes import ENOUGH_S, SETTINGS, asked, link_status, nothing_is_left, severed
from tests.security.app import Security
from tests.security.network import PortServer, port_server, serving_worker, start_process, wait_for_answer
from tests.security.sentinels import Guarded, guarded

KEYS = Keys("security")
DIRECTORIES = ("master", "replica0")
PIECES = 3
RIGHT = sum(range(PIECES))


@dataclass
class Reported:
    """Runs of which a driver has said something, in the order in which they were begun."""

    flow: Security
    handlers: list[WorkflowHandler[Any]]

    def begin(self, sleeps: float) -> None:
        self.handlers.append(self.flow.run(n=PIECES, sleeps=sleeps))

    @property
    def accepted(self) -> set[str]:
        return {one.run_id for one in self.handlers if one.followed.reached is not None}

    @property
    def ended(self) -> set[str]:
        return {one.run_id for one in self.handlers if one.is_done()}


def reporting(url: str, durability: str) -> Reported:
    settings = Settings.load(url=url, namespace="security", durability=durability, **SETTINGS)
    return Reported(Security(broker=settings), [])


def statuses(server: PortServer, runs: set[str]) -> dict[str, str | None]:
    """How a server has these runs."""
    return {run: asked(server, "HGET", KEYS.of("run", run), "status") for run in runs}


async def trial(group: Guarded, chance: random.Random, directory: Path) -> tuple[int, int, int]:
    """One failover under load: how many runs were reported as accepted and ended, and how many others were lost."""
    firm, plain = reporting(group.url, "replicated"), reporting(group.url, "none")

    async def load() -> None:
        while True:
            for one in (firm, plain):
                one.begin(sleeps=chance.choice((0.0, 0.1, 0.3)))
            await asyncio.sleep(chance.uniform(0.005, 0.03))

    loading = asyncio.ensure_future(load())
    await meanwhile(lambda: firm.accepted and plain.ended, "runs to begin and end")
    await asyncio.sleep(chance.uniform(0.0, 0.5))
    old = group.master()
    with severed(group) as replica:
        lost_at = len(plain.accepted)
        await meanwhile(lambda: len(plain.accepted) > lost_at + 5, "others to be told what is only on the master")
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        old.kill()
        accepted, ended, others = firm.accepted, firm.ended, plain.accepted
        loading.cancel()
        assert None not in statuses(replica, accepted).values(), "a run that was reported as accepted is lost"
        assert set(statuses(replica, ended).values()) <= {"completed"}, "an end that was reported is lost"
        lost = [run for run, status in statuses(replica, others).items() if status is None]
        assert lost, "nothing was lost, so nothing was tried"
    await meanwhile(lambda: group.master_port() != old.port, "the sentinels to name another master")
    await returned(group, old, directory)
    everyone = firm.handlers + plain.handlers
    assert await asyncio.wait_for(asyncio.gather(*everyone), ENOUGH_S) == [RIGHT] * len(everyone)
    await nothing_is_left(group)
    return len(accepted), len(ended), len(lost)


async def returned(group: Guarded, old: PortServer, directory: Path) -> None:
    """The old master is there again, and in step with the new one."""
    old.process = start_process(old.binary, directory / DIRECTORIES[group.servers.index(old)], old.words)
    wait_for_answer(old.port, old.process)
    asked(old, "REPLICAOF", "127.0.0.1", str(group.master_port()))  # As the sentinels do, some seconds later.
    await meanwhile(lambda: link_status(old) == "up", "the old master to follow the new one")


async def play(tmp_path: Path, trials: int, seed: int) -> None:
    log, chance = tmp_path / "worker.log", random.Random(seed)
    with guarded(tmp_path) as group, serving_worker(group.url, log, **SETTINGS):
        try:
            for n in range(trials):
                accepted, ended, lost = await trial(group, chance, tmp_path)
                print(f"trial {n}: {accepted} reported as accepted, {ended} as ended: none lost; {lost} of others lost")
        finally:
            await close_homes()
            for server in group.servers:
                server.kill()
    assert "Traceback" not in log.read_text()


async def test_nothing_that_was_reported_is_lost_with_the_master(tmp_path: Path) -> None:
    await play(tmp_path, trials=1, seed=1)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(11, 16))
async def test_nothing_that_was_reported_is_lost_in_ten_failovers(tmp_path: Path, seed: int) -> None:
    await play(tmp_path, trials=10, seed=seed)


async def test_nothing_is_reported_while_the_replica_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with guarded(tmp_path) as group, serving_worker(group.url, tmp_path / "worker.log", **SETTINGS):
        firm = reporting(group.url, "replicated")
        with severed(group):
            firm.begin(sleeps=0.0)
            run = firm.handlers[0]
            await meanwhile(lambda: statuses(group.master(), {run.run_id})[run.run_id] == "completed", "the run to end")
            await meanwhile(lambda: "no replica has what was written" in caplog.text, "somebody to say why not")
            assert not firm.accepted
            assert not run.is_done()
        assert [type(one).__name__ async for one in run.stream_events()] == ["StopEvent"]
        assert run.is_done()
        assert await run == RIGHT
        await close_homes()


def knows_its_disk(server: PortServer) -> bool:
    """Whether it has WAITAOF."""
    with redis.Redis(port=server.port, decode_responses=True) as client:
        major, minor = cast("dict[str, str]", client.info("server"))["redis_version"].split(".")[:2]
    return (int(major), int(minor)) >= (7, 2)


async def test_nothing_is_reported_that_is_not_on_the_disk(tmp_path: Path) -> None:
    """Or, by a server that cannot tell what is (Redis before 7.2), nothing is taken at all."""
    with port_server(tmp_path / "server") as server, serving_worker(server.url, tmp_path / "worker.log", **SETTINGS):
        firm = reporting(server.url, "fsync")
        if not knows_its_disk(server):
            with pytest.raises(ServerRefusedError, match=r"which version 7\.0\..* Use Redis 7\.2 or later, or Valkey"):
                await firm.flow.run(n=PIECES)
            await close_homes()
            return
        firm.begin(sleeps=0.0)
        assert await asyncio.wait_for(firm.handlers[0], ENOUGH_S) == RIGHT
        with redis.Redis(port=server.port, decode_responses=True) as client:
            client.config_set("appendfsync", "no")
            firm.begin(sleeps=0.0)
            second = firm.handlers[1].run_id
            await meanwhile(lambda: client.hget(KEYS.of("run", second), "status") == "completed", "it to end")
            assert second not in firm.accepted | firm.ended
            client.config_set("appendfsync", "everysec")
        assert await asyncio.wait_for(firm.handlers[1], ENOUGH_S) == RIGHT
        await close_homes()


async def test_a_server_without_a_log_has_no_disk(tmp_path: Path) -> None:
    with port_server(tmp_path / "server", "--appendonly", "no") as server:
        with pytest.raises(ServerRefusedError, match="it keeps no log"):
            await reporting(server.url, "fsync").flow.run(n=PIECES)
        await close_homes()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"durability": "replicated"}, "the bundled server has no replica"),
        ({"durability": "certain"}, "must be one of none, replicated, fsync"),
    ],
)
def test_a_durability_that_cannot_be(given: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        Settings.of({}, given)
