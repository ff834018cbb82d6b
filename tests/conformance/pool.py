"""Worker processes that serve what is played."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis

from broker_wf.broker.keys import Keys
from tests.integration.key_audit import problems

PROCESSES = 2
PATIENCE_S = 60.0


@contextmanager
def worker_pool(
    url: str, namespace: str, folder: Path, environment: Mapping[str, str], *targets: str
) -> Iterator[None]:
    """Two processes that serve; they are there when this begins, and leave no key when it ends."""
    log = folder / "workers.log"
    command = [sys.executable, "-m", "broker_wf", "worker", "-p", str(PROCESSES), *targets]
    with log.open("wb") as out, redis.Redis.from_url(url) as client:
        pool = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=out)
        try:
            give_up = time.monotonic() + PATIENCE_S
            while client.zcard(Keys(namespace).of("roster")) < PROCESSES:
                assert pool.poll() is None, f"the workers ended: {log.read_text()}"
                assert time.monotonic() < give_up, f"the workers do not serve: {log.read_text()}"
                time.sleep(0.02)
            yield
        finally:
            pool.send_signal(signal.SIGTERM)
            pool.wait(timeout=PATIENCE_S)
        assert problems(client, namespace) == []
