"""Workers of docker-compose.yml share one run, and a container that dies takes nothing with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from subprocess import Popen
from typing import TypedDict

import pytest

from tests.docker.stack import Stack, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]

STEPS = 60


@pytest.fixture
def workers(stack: Stack, image: str) -> Stack:
    """Three workers that claim."""
    stack.use_image(image)
    stack.compose("up", "-d", "--no-build", "--scale", "worker=3", "worker")
    wait_until(lambda: stack.healthy("worker") == 3, "three workers are healthy", timeout_s=120)
    return stack


def hosts_of(stack: Stack) -> set[str]:
    return {str(container.attrs["Config"]["Hostname"]) for container in stack.containers("worker")}


class SpreadResult(TypedDict):
    total: int
    hosts: dict[str, int]


def result_in(printed: str) -> SpreadResult:
    """The driver's result, from all that Compose and the driver printed."""
    (line,) = [line for line in printed.splitlines() if line.startswith("{")]
    return json.loads(line)


def driver(pause_s: float) -> list[str]:
    return ["run", "--rm", "-T", "driver", "apps/spread/driver.py", str(STEPS), str(pause_s)]


def test_the_steps_of_one_run_spread_over_all_containers(workers: Stack) -> None:
    result = result_in(workers.compose(*driver(pause_s=0.2)))
    assert result["total"] == sum(range(STEPS))
    assert set(result["hosts"]) == hosts_of(workers)
    assert sum(result["hosts"].values()) == STEPS


def test_a_container_killed_in_mid_run_changes_nothing_in_the_result(workers: Stack) -> None:
    victim = workers.containers("worker")[0]
    host = victim.attrs["Config"]["Hostname"]
    with workers.running(*driver(pause_s=2.0)) as process:
        printed = Follower(process)
        wait_until(lambda: f"on {host}" in printed.text(), "the victim has begun some of the work")
        victim.kill()
        assert process.wait(timeout=240) == 0, printed.text()
    result = result_in(printed.text())
    assert result["total"] == sum(range(STEPS))
    assert sum(result["hosts"].values()) == STEPS


class Follower:
    """Collects what a process prints, while it prints."""

    def __init__(self, process: Popen[str]) -> None:
        assert process.stdout is not None
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(iter(process.stdout),), daemon=True)
        self._thread.start()

    def text(self) -> str:
        if not self._thread.is_alive():
            self._thread.join()
        return "".join(self._lines)

    def _read(self, lines: Iterator[str]) -> None:
        for line in lines:
            self._lines.append(line)
