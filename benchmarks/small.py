"""What an idle worker and a start cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import redis

from benchmarks.rig import cpu_s, original_python, server, worker_processes, workers

_IDLE_S = 15.0
_STARTS = 7


def idle() -> dict[str, float]:
    """One worker that serves 50 steps and has nothing to do."""
    with server() as url, workers(url, 1, ("idle",)) as parent:
        client = redis.Redis.from_url(url)
        time.sleep(2)
        pids = list({parent.pid, *worker_processes(parent.pid)})
        before = cpu_s(pids)
        time.sleep(_IDLE_S)
        used = cpu_s(pids) - before
        return {"core_percent": 100 * used / _IDLE_S, "connections": float(len(client.client_list()) - 1)}


def start() -> dict[str, float]:
    """How long a process takes that imports what defines a workflow, beyond one that imports nothing; and a check."""
    nothing = _took((sys.executable, "-c", "pass"))
    workflow = _took((sys.executable, "-c", "from broker_wf import Context, Workflow, step"))
    original = _took((str(original_python()), "-c", "from workflows import Context, Workflow, step"))
    health = _took((str(Path(sys.executable).with_name("broker-wf")), "health"))
    return {
        "import_ms": workflow - nothing,
        "original_import_ms": original - nothing,
        "health_ms": health,
        "python_ms": nothing,
    }


def _took(command: Sequence[str]) -> float:
    took: list[float] = []
    environment = {**os.environ, "BROKER_WF_URL": "redis://127.0.0.1:1"}
    for _ in range(_STARTS):
        began = time.perf_counter()
        subprocess.run(command, env=environment, capture_output=True, check=False)
        took.append((time.perf_counter() - began) * 1000)
    return median(took)
