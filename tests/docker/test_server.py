"""The server of docker-compose.yml, and what Prometheus makes of it; the commands of apps/served, as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker import DockerClient

from tests.docker.stack import ROOT, Stack, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "broker_wf.json"
README = ROOT / "workers" / "apps" / "served" / "README.md"
PROMETHEUS = """
FROM python:3.11-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/*
"""


@pytest.fixture(scope="module")
def served(stack: Stack, image: str) -> Stack:
    """A worker and a server, both ready."""
    stack.use_image(image)
    stack.set("WORKER_APPS", "apps.served.app:workflow")
    stack.compose("up", "-d", "--no-build", "--scale", "worker=1", "worker", "server")
    wait_until(lambda: stack.healthy("server") == stack.healthy("worker") == 1, "both are healthy", timeout_s=120)
    return stack


@pytest.fixture(scope="module")
def prometheus_image(engine: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prometheus as Debian has it, for no registry need be there."""
    tag, context = f"broker-wf-prometheus:test-{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("prometheus")
    (context / "Dockerfile").write_text(PROMETHEUS)
    built = subprocess.run(
        ["docker", "build", "--network", "host", "-t", tag, str(context)],
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    yield tag
    with closing(docker.from_env(timeout=60)) as patient:
        patient.images.remove(tag, force=True)  # its container may be there still


def commands() -> list[str]:
    """What the README says to type once everything is up."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if "curl" in line]


def test_the_commands_of_the_readme_start_ask_answer_and_tell_the_result(served: Stack) -> None:
    url, run_id, said = served.url_of("server", 8080), "", list[str]()
    environment = {**os.environ, "TOKEN": served.token}
    for line in commands():
        typed = line.replace("http://127.0.0.1:8080", url).replace("RUN", run_id)
        if "-X POST" in typed:
            wait_until(lambda: "nope" in _get(served, "/api/v1/waiting").text, "the question is there")
        ended = subprocess.run(["/bin/bash", "-c", typed], env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{typed}\n{ended.stdout}\n{ended.stderr}"
        said.append(ended.stdout)
        if "run-nowait" in typed:
            run_id = json.loads(ended.stdout)["handler_id"]
    assert "module-report" in said[0]
    assert "Heap queue algorithm" in said[1]
    assert "Text wrapping and filling" in said[-1]


def test_nobody_gets_in_without_the_token(served: Stack) -> None:
    assert httpx.get(f"{served.url_of('server', 8080)}/api/v1/runs").status_code == 401
    assert _get(served, "/api/v1/runs").status_code == 200


def test_a_server_that_was_killed_comes_back_and_knows_every_run(served: Stack) -> None:
    body = {"start_event": {"names": ["heapq"]}}
    started = _post(served, "/workflows/module-report/run-nowait", body)
    run_id = started.json()["handler_id"]
    served.compose("kill", "server")
    served.compose("up", "-d", "--no-build", "--no-deps", "server")

    def is_told() -> bool:
        with suppress(httpx.HTTPError, ValueError):  # ValueError: it is not there
            return _get(served, f"/api/v1/runs/{run_id}").json()["run"]["status"] == "completed"
        return False

    wait_until(is_told, "the run is known to the new server", timeout_s=90)


def test_prometheus_reads_the_measures_and_has_the_alerts(served: Stack, prometheus_image: str) -> None:
    served.set("PROMETHEUS_IMAGE", prometheus_image)
    served.compose("--profile", "observability", "up", "-d", "--no-deps", "prometheus")

    def workers() -> list[Any]:
        with suppress(httpx.HTTPError, IndexError):
            found = httpx.get(
                f"{served.url_of('prometheus', 9090)}/api/v1/query", params={"query": "broker_wf_workers"}
            )
            return found.raise_for_status().json()["data"]["result"]  # 503 while it is starting.
        return []

    wait_until(lambda: bool(workers()) and workers()[0]["value"][1] == "1", "it has counted the worker", timeout_s=90)
    rules = httpx.get(f"{served.url_of('prometheus', 9090)}/api/v1/rules").json()["data"]["groups"]
    assert "BrokerWfNoWorker" in {rule["name"] for group in rules for rule in group["rules"]}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            _answers(f"{served.url_of('prometheus', 9090)}/api/v1/query", target)


def _answers(url: str, target: dict[str, str]) -> None:
    """Whether a query of the dashboard is one, finds something, and finds the labels that its legend names."""
    expr = target["expr"].replace("$workflow", ".+")
    answer = httpx.get(url, params={"query": expr}).json()
    assert answer["status"] == "success", answer
    found = answer["data"]["result"]
    assert found or "rate(" in expr, f"{expr} finds nothing"  # a rate needs to have been read twice
    for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
        assert all(label in one["metric"] for one in found), (expr, found)


def test_alerts_are_raised_when_they_should_and_only_then(prometheus_image: str) -> None:
    mounts = [
        *("-v", f"{ROOT / 'deploy' / 'prometheus' / 'alerts.yml'}:/rules/alerts.yml:ro"),
        *("-v", f"{Path(__file__).parent / 'alerts_test.yml'}:/rules/alerts_test.yml:ro"),
    ]
    tested = subprocess.run(
        ["docker", "run", "--rm", *mounts, prometheus_image, "promtool", "test", "rules", "/rules/alerts_test.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def _get(stack: Stack, path: str) -> httpx.Response:
    return _ask(stack, lambda client: client.get(path))


def _post(stack: Stack, path: str, body: object) -> httpx.Response:
    return _ask(stack, lambda client: client.post(path, json=body))


def _ask(stack: Stack, ask: Callable[[httpx.Client], httpx.Response]) -> httpx.Response:
    headers = {"authorization": f"Bearer {stack.token}"}
    with httpx.Client(base_url=stack.url_of("server", 8080), headers=headers, timeout=30.0) as client:
        return ask(client)
