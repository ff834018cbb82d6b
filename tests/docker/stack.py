"""docker-compose.yml as a test drives it: one project, its containers, its server."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from docker import DockerClient
from docker.models.containers import Container

ROOT = Path(__file__).resolve().parents[2]


def compose_command() -> list[str] | None:
    """What runs Compose here; None if nothing does."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def build_image(tag: str, *options: str) -> None:
    """Build the image with nothing that only BuildKit knows, on the network of the host."""
    built = subprocess.run(
        ["docker", "build", "--network", "host", "-f", "workers/Dockerfile", "-t", tag, *options, "."],
        cwd=ROOT,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, f"docker build failed:\n{built.stdout[-3000:]}\n{built.stderr[-3000:]}"


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Return when the predicate holds; fail with `what` when it does not in time."""
    give_up = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up, f"after {timeout_s:.0f} s still not so: {what}"
        time.sleep(0.2)


class Stack:
    """One project of docker-compose.yml."""

    def __init__(self, command: list[str], engine: DockerClient, password_file: Path, token_file: Path) -> None:
        self.engine = engine
        self.project = f"bwf{uuid.uuid4().hex[:8]}"
        self.password, self.token = password_file.read_text(), token_file.read_text()
        self._command = command
        self._env = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "REDIS_PASSWORD_FILE": str(password_file),
            "SERVER_TOKEN_FILE": str(token_file),
            "REDIS_PORT": "0",
            "SERVER_PORT": "0",
            "PROMETHEUS_PORT": "0",
            "WORKER_APPS": "apps.spread.app:workflow",
        }

    def use_image(self, tag: str) -> None:
        """Workers and drivers started from now on run this image."""
        self.set("WORKER_IMAGE", tag)

    def set(self, name: str, value: str) -> None:
        """Compose sees this variable from now on."""
        self._env[name] = value

    def compose(self, *arguments: str) -> str:
        """Run Compose to its end; return what it printed, or fail with that."""
        ended = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"compose {arguments} failed:\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run Compose beside the test, both outputs in one; it has ended when the block ends."""
        process = subprocess.Popen(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def containers(self, service: str) -> list[Container]:
        """The running containers of a service."""
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        return self.engine.containers.list(filters={"label": labels})

    def healthy(self, service: str) -> int:
        """How many containers of a service say that they are healthy."""
        return sum(1 for container in self.containers(service) if container.health == "healthy")

    def logs(self, service: str) -> str:
        """What a service's containers have printed so far."""
        return self.compose("logs", "--no-color", service)

    def printed_by(self, service: str, *command: str) -> str:
        """What a command prints inside the one container of a service, as root."""
        (container,) = self.containers(service)
        ended = container.exec_run(list(command), user="root")
        assert isinstance(ended.output, bytes)
        return ended.output.decode()

    def server_address(self) -> tuple[str, int]:
        """Where the host reaches the Redis of the project."""
        return self._published("redis", 6379)

    def url_of(self, service: str, port: int) -> str:
        """Where the host reaches a service that speaks HTTP."""
        host, published = self._published(service, port)
        return f"http://{host}:{published}"

    def _published(self, service: str, port: int) -> tuple[str, int]:
        (container,) = self.containers(service)
        (published,) = container.ports[f"{port}/tcp"] or []
        return published["HostIp"], int(published["HostPort"])

    def server(self, password: str | None = None) -> redis.Redis:
        """A connection to it from the host, by its own password unless another one is given."""
        host, port = self.server_address()
        return redis.Redis(host=host, port=port, password=password or self.password, decode_responses=True)
