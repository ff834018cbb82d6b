from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.cluster import Cluster, own_cluster
from tests.faults.records import Records, own_records


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of its own."""
    with own_cluster() as made:
        yield made


@pytest.fixture
def records(cluster: Cluster) -> Iterator[Records]:
    """The ledger of the cluster's workers, and the means to make more of these."""
    with own_records(cluster) as made:
        yield made
