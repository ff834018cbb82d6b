"""The engine that container tests need, and the stack that they look at."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from docker import DockerClient
from docker.errors import DockerException

from tests.docker.stack import Stack, build_image, compose_command


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """A container engine that answers, or a skip with the reason why none does."""
    try:
        _knock()
        client = docker.from_env(timeout=2)
    except DockerException as reason:
        pytest.skip(f"no container engine: {reason}")
    with closing(client):
        try:
            client.ping()
        except DockerException as reason:
            pytest.skip(f"no container engine: {reason}")
        yield client


@pytest.fixture(scope="session")
def compose() -> list[str]:
    """The command of Compose v2, or of docker-compose 1.29, or a skip."""
    command = compose_command()
    if command is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is here")
    return command


@pytest.fixture(scope="session")
def image(engine: DockerClient) -> Iterator[str]:
    """The image of `workers/Dockerfile` as the source is now; its first stage has a name to remove it by."""
    tag = f"broker-wf-worker:test-{uuid.uuid4().hex[:8]}"
    first_stage = f"{tag}-builder"
    build_image(first_stage, "--target", "builder")
    build_image(tag)
    yield tag
    with closing(docker.from_env()) as patient:
        patient.images.remove(tag)
        patient.images.remove(first_stage)


@pytest.fixture(scope="module")
def stack(engine: DockerClient, compose: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A project of docker-compose.yml with a name, password and port of its own; nothing is left of it."""
    secrets = tmp_path_factory.mktemp("secret")
    made = Stack(compose, docker.from_env(timeout=60), _secret(secrets / "redis"), _secret(secrets / "server"))
    with closing(made.engine):
        try:
            yield made
        finally:
            made.compose("--profile", "observability", "down", "--volumes", "--remove-orphans", "--timeout", "5")


def _knock() -> None:
    """Try the engine's socket first: a client that is refused there leaves its own to the collector."""
    path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    if path.startswith("/"):
        with socket.socket(socket.AF_UNIX) as door:
            try:
                door.connect(path)
            except OSError as reason:
                raise DockerException(f"{path}: {reason.strerror}") from reason


def _secret(path: Path) -> Path:
    path.write_text(uuid.uuid4().hex)
    path.chmod(0o444)
    return path
