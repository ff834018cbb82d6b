"""What every test may ask for: a server that is really there, and a namespace of its own on it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.servers import wanted_server


@pytest.fixture(scope="session", autouse=True)
def environment_of_ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests see no setting of the person who runs them, and never touch that person's bundled server."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("BROKER_WF_") and not name.startswith("BROKER_WF_TEST_"):
                patch.delenv(name)
        if "BROKER_WF_TEST_URL" in os.environ or os.environ.get("BROKER_WF_TEST_SERVER") == "container":
            # Who runs the tests has chosen the server: it may be behind an address of a network, without a password.
            patch.setenv("BROKER_WF_ALLOW_INSECURE", "1")
            patch.setenv("BROKER_WF_ALLOW_VOLATILE", "1")
        patch.setenv("BROKER_WF_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A private server for one test run (and xdist worker); see `tests.servers.wanted_server` for kinds."""
    with wanted_server() as url:
        yield url


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test has, so that tests may share a server."""
    return f"t{uuid.uuid4().hex[:12]}"
