"""What the directed schedules stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stateful.rig import Rig, rigged


@pytest.fixture
def rig(server_url: str, namespace: str) -> Iterator[Rig]:
    """The scripts on a namespace of its own."""
    yield from rigged(server_url, namespace, 1000)
