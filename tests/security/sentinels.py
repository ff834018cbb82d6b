"""A master, a replica and three sentinels, all real processes on this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import redis

from tests.security.network import (
    PortServer,
    port_server,
    start_process,
    until,
    wait_for_answer,
    wanted_binary,
)
from tests.servers import free_port

SERVICE = "mymaster"
PASSWORD = "replicated-secret"


@dataclass(slots=True)
class Guarded:
    """What the sentinels look after.

    Attributes:
        servers: the first is the master at the beginning.
    """

    servers: list[PortServer]
    sentinels: list[int]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list["subprocess.Popen[bytes]"])

    @property
    def url(self) -> str:
        """Of the library, with all sentinels in it."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}"

    def master_port(self) -> int:
        """Which server the sentinels name."""
        for port in self.sentinels:
            with redis.Redis(port=port) as client, suppress(redis.ConnectionError):
                found = cast("tuple[str, int]", client.sentinel_get_master_addr_by_name(SERVICE))
                return int(found[1])
        raise AssertionError("no sentinel answers")

    def master(self) -> PortServer:
        """The server they name."""
        port = self.master_port()
        return next(one for one in self.servers if one.port == port)

    def fail_over(self) -> None:
        """Kill the master; returns when another one is it, and takes commands."""
        before = self.master()
        before.kill()
        until(lambda: self.master_port() != before.port, "the sentinels to name another master")
        with redis.Redis(port=self.master_port(), password=PASSWORD) as client:
            until(lambda: client.info("replication")["role"] == "master", "the replica to be the master")


@contextmanager
def guarded(directory: Path, replicas: int = 1, words: Sequence[str] = ()) -> Iterator[Guarded]:
    """Start them all; the replicas are in step when this is entered. ``words`` are for all servers."""
    words = ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0", *words]
    with ExitStack() as stack:
        master = stack.enter_context(port_server(directory / "master", *words))
        copies = [
            stack.enter_context(
                port_server(directory / f"replica{n}", *words, "--replicaof", f"127.0.0.1 {master.port}")
            )
            for n in range(replicas)
        ]
        with redis.Redis(port=master.port, password=PASSWORD) as client:
            until(lambda: client.info("replication")["connected_slaves"] == replicas, "the replicas to be in step")
        found = Guarded([master, *copies], [free_port() for _ in range(3)])
        for n, port in enumerate(found.sentinels):
            process = start_sentinel(directory / f"sentinel{n}", port, master.port)
            found.processes.append(process)
            stack.callback(process.wait)
            stack.callback(process.kill)
            wait_for_answer(port, process)
        until(lambda: all(knows_others(port, replicas) for port in found.sentinels), "the sentinels to know all")
        yield found


def start_sentinel(directory: Path, port: int, master: int) -> subprocess.Popen[bytes]:
    """Start one; it writes what it learns into its configuration."""
    directory.mkdir(parents=True)
    config = directory / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor {SERVICE} 127.0.0.1 {master} 2\n"
        f"sentinel auth-pass {SERVICE} {PASSWORD}\nsentinel down-after-milliseconds {SERVICE} 1000\n"
        f"sentinel failover-timeout {SERVICE} 3000\n"
    )
    return start_process(wanted_binary(), directory, [str(config), "--sentinel"])


def knows_others(port: int, replicas: int) -> bool:
    """Whether a sentinel has met the two others and the replicas."""
    with redis.Redis(port=port) as client:
        state = cast("dict[str, object]", client.sentinel_master(SERVICE))
    return (state["num-other-sentinels"], state["num-slaves"]) == (2, replicas)
