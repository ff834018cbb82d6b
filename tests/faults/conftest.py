from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of its own, in a short path: a unix socket's may not be long."""
    directory = Path(tempfile.mkdtemp(prefix="bwf-"))
    made = Cluster(directory)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)
