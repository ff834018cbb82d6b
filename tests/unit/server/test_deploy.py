"""What ``deploy`` ships speaks of measures that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from broker_wf.inspector.views import ServerView, StatusView
from broker_wf.server.api.metrics import prometheus_text

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "broker_wf.json"


def measures() -> set[str]:
    server = ServerView(
        url="", name="", version="", uptime_s=0, used_memory_bytes=0, max_memory_bytes=0, clients=0, log="on"
    )
    status = StatusView(namespace="", server=server, workers=(), workflows=(), dead_letters=0)
    return set(re.findall(r"# TYPE (\w+)", prometheus_text(status)))


@pytest.mark.parametrize("path", [DASHBOARD, DEPLOY / "prometheus" / "alerts.yml"], ids=lambda path: path.name)
def test_it_speaks_only_of_measures_that_there_are(path: Path) -> None:
    named = set(re.findall(r"\bbroker_wf_\w+", path.read_text()))
    assert named
    assert named <= measures()


def test_the_dashboard_shows_every_measure() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    shown = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    assert {one for one in measures() if one not in shown} <= {"broker_wf_ended_runs"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
