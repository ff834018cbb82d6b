"""A namespace at one glance, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from broker_wf.inspector.views import StatusView, WorkerView, WorkflowView


def prometheus_text(status: StatusView) -> str:
    """All measures; each is a gauge of this moment, or a counter that workers keep in their life."""
    flows, workers = status.workflows, status.workers
    parts = [
        _measure("waiting_deliveries", "Deliveries that nobody has taken yet.", _each(flows, "waiting")),
        _measure("running_deliveries", "Deliveries in the hands of workers.", _each(flows, "running")),
        _measure("oldest_waiting_seconds", "Age of the delivery that has waited longest.", _oldest(flows)),
        _measure("live_runs", "Runs that have not ended.", _each(flows, "live_runs")),
        _measure("ended_runs", "Ended runs that are kept still.", _each(flows, "ended_runs")),
        _measure("serving_workers", "Live workers that serve the workflow.", _each(flows, "workers")),
        _measure("workers", "Live workers.", [({}, len(workers))]),
        _measure("worker_running", "Deliveries a worker executes.", _of_workers(workers, "running")),
        _measure("worker_places", "Deliveries a worker may have.", _of_workers(workers, "concurrency")),
        _measure("worker_done_total", "Deliveries a worker has executed.", _of_workers(workers, "done")),
        _measure("dead_letters", "Deliveries that were given up on.", [({}, status.dead_letters)]),
        _measure("server_memory_bytes", "Memory the server uses.", [({}, status.server.used_memory_bytes)]),
        _measure("server_memory_limit_bytes", "Memory it may use; 0: any.", [({}, status.server.max_memory_bytes)]),
    ]
    return "".join(parts)


def _each(flows: Iterable[WorkflowView], field: str) -> list[tuple[Mapping[str, str], float]]:
    return [({"workflow": one.workflow}, float(getattr(one, field))) for one in flows]


def _of_workers(workers: Iterable[WorkerView], field: str) -> list[tuple[Mapping[str, str], float]]:
    return [({"worker": one.id}, float(getattr(one, field))) for one in workers]


def _oldest(flows: Iterable[WorkflowView]) -> list[tuple[Mapping[str, str], float]]:
    return [({"workflow": one.workflow}, (one.oldest_waiting_ms or 0) / 1000) for one in flows]


def _measure(name: str, said: str, values: Iterable[tuple[Mapping[str, str], float]]) -> str:
    full = f"broker_wf_{name}"
    kind = "counter" if name.endswith("_total") else "gauge"
    lines = [f"# HELP {full} {said}", f"# TYPE {full} {kind}"]
    lines += [f"{full}{_labels(labels)} {value:.17g}" for labels, value in values]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
