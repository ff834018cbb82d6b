"""The proxy on which links are slow, lose replies or are cut, itself."""

from __future__ import annotations

import gc
import socket
import threading
import warnings
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.faults.proxy import Link

TIMES = 100


def knock(path: str, over: threading.Event) -> None:
    """Come and go until there is nobody any more."""
    while not over.is_set():
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect(path)
            except OSError:
                continue


def test_who_comes_while_it_ends_is_let_go(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.settings.url is not None
    for number in range(TIMES):
        link, over = Link(cluster.settings.url, tmp_path, name=f"p{number}"), threading.Event()
        link.begin()
        guest = threading.Thread(target=knock, args=(str(tmp_path / f"p{number}.sock"), over))
        guest.start()
        link.end()
        over.set()
        guest.join()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gc.collect()
