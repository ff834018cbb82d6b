"""What ``deploy`` ships speaks of measures that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from broker_wf.inspector.views import ServerView, StatusView
from broker_wf.server.api.metrics import prometheus_text

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
PROVISIONED = DEPLOY / "grafana" / "provisioning"
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


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """No Grafana is started by any test: what it asks of a provisioned dashboard is held against the file."""
    dashboard = json.loads(DASHBOARD.read_text())
    (source,) = yaml.safe_load((PROVISIONED / "datasources" / "prometheus.yml").read_text())["datasources"]
    named = {"type": source["type"], "uid": source["uid"]}
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", dashboard["uid"])
    assert 36 <= dashboard["schemaVersion"] <= 40
    assert "id" not in dashboard, "its number is for the Grafana that has read it to give"
    variables = dashboard["templating"]["list"]
    assert all(variable["datasource"] == named for variable in variables)
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] in ("stat", "timeseries")
        assert panel["datasource"] == named
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            asked = set(re.findall(r"\$\{?(\w+)", target["expr"]))
            assert asked <= {variable["name"] for variable in variables}
    cells = [cell for panel in panels for cell in cells_of(**panel["gridPos"])]
    assert len(set(cells)) == len(cells), "panels lie over one another"
    assert max(x for x, _ in cells) < 24


def cells_of(x: int, y: int, w: int, h: int) -> list[tuple[int, int]]:
    """What a panel covers of the grid."""
    return [(column, row) for column in range(x, x + w) for row in range(y, y + h)]


def test_grafana_finds_the_dashboard_and_its_source_where_compose_puts_them() -> None:
    services = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())["services"]
    places = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    (provider,) = yaml.safe_load((PROVISIONED / "dashboards" / "broker_wf.yml").read_text())["providers"]
    assert places["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert places["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    (source,) = yaml.safe_load((PROVISIONED / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (urlsplit(source["url"]).hostname, urlsplit(source["url"]).port) == ("prometheus", 9090)
    assert "prometheus" in services
