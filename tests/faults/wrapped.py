"""Servers in other circumstances than this machine's: a clock of their own, a limit on their files."""

from __future__ import annotations

import importlib.util
import os
import resource
from collections.abc import Iterable
from pathlib import Path

from tests.faults.cluster import Cluster

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def clock_library() -> Path | None:
    """Of libfaketime, which tells a process another time; None where it is not installed."""
    found = [Path(os.environ.get("BROKER_WF_TEST_FAKETIME", "nowhere")), *_installed()]
    return next((one.resolve() for one in found if one.is_file()), None)


def _installed() -> Iterable[Path]:
    yield from Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    package = importlib.util.find_spec("libfaketime")
    for place in (package and package.submodule_search_locations) or []:
        yield from Path(place).glob("vendor/**/libfaketime.so.1")


def restart_in_shell(cluster: Cluster, *lines: str) -> None:
    """Start the cluster's server again, from a shell that has done these lines."""
    wrapper = cluster.directory / "server.sh"
    wrapper.write_text("\n".join(["#!/bin/sh", *lines, f'exec "{cluster.binary}" "$@"', ""]))
    wrapper.chmod(0o700)
    cluster.server.terminate()
    cluster.server.wait()
    cluster.binary = wrapper
    cluster.restart_server(0.0)


def other_clock(library: Path, seconds: int, directory: Path) -> dict[str, str]:
    """The environment of a Python process whose clock is off by so much; ``directory`` is for what it needs."""
    # Debian's library refuses to sleep until a moment of the clock that it leaves alone, and so sleeps Python 3.11.
    (directory / "sitecustomize.py").write_text(
        "import select, time\ntime.sleep = lambda seconds: select.select((), (), (), seconds) and None\n"
    )
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{seconds:+d}s",
        "DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(directory),
    }


class ServerClock:
    """The clock of a cluster's server, which is put forward and back while it runs."""

    def __init__(self, cluster: Cluster, library: Path) -> None:
        self._path = cluster.directory / "clock"
        self.jump(0)
        told = f"LD_PRELOAD='{library}' FAKETIME_TIMESTAMP_FILE='{self._path}' FAKETIME_NO_CACHE=1"
        restart_in_shell(cluster, f"export {told} DONT_FAKE_MONOTONIC=1")

    def jump(self, seconds: int) -> None:
        """Show so much more than the machine's clock."""
        new = self._path.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(self._path)


class Disk:
    """The disk of a cluster's server, which is full once its log is longer than it may be."""

    def __init__(self, cluster: Cluster) -> None:
        # Instead of dying by it, the server is told that its file cannot grow.
        restart_in_shell(cluster, "trap '' XFSZ")
        self._cluster = cluster

    def fill(self, left_bytes: int) -> None:
        """Leave so much room."""
        log = max((self._cluster.directory / "appendonlydir").glob("*.incr.aof"), key=lambda one: one.stat().st_size)
        limit = log.stat().st_size + left_bytes
        resource.prlimit(self._cluster.server.pid, resource.RLIMIT_FSIZE, (limit, UNLIMITED[1]))

    def free(self) -> None:
        """There is room again."""
        resource.prlimit(self._cluster.server.pid, resource.RLIMIT_FSIZE, UNLIMITED)

    @property
    def is_full(self) -> bool:
        """Whether the server says so."""
        return self._cluster.client.info("persistence")["aof_last_write_status"] != "ok"
