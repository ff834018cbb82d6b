from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.faults.records import Records


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


@pytest.fixture
def records(cluster: Cluster) -> Iterator[Records]:
    """The ledger of the cluster's workers, and the means to make more of these."""
    made = Records(cluster)
    yield made
    made.close()
