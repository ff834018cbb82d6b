"""A server of its own for a test, and an end of what the test has opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from broker_wf.home import close_homes
from tests.security.network import PortServer, port_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PortServer]:
    with port_server(tmp_path / "server") as one:
        yield one


@pytest.fixture
async def homes() -> AsyncIterator[None]:
    yield
    await close_homes()
