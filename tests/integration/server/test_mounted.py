"""The app inside somebody else's process: it uses what it was given, and leaves alone what is not its own."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from broker_wf import open_inspector
from broker_wf.home import home_of
from broker_wf.server import WorkflowServer, create_app
from tests.apps.answering import Asking, Plain
from tests.integration.console import PATIENCE_S, ROOT, Console, until
from tests.integration.server.serving import HttpServer
from tests.integration.stage import Stage, within


async def test_runs_start_in_the_namespace_the_server_was_given(cluster: Stage) -> None:
    # The workflow names no namespace, or another one.
    elsewhere = replace(cluster.settings, namespace=f"{cluster.settings.namespace}x")
    flows = [Plain(workflow_name="plain"), Asking(workflow_name="asking", timeout=None, broker=elsewhere)]
    for name, cls in (("plain", Plain), ("asking", Asking)):
        await cluster.add_worker(cls, workflow_name=name)
    async with HttpServer(cluster.settings, flows) as server, httpx.AsyncClient(base_url=server.url) as http:
        for name in ("plain", "asking"):
            answer = await http.post("/api/v1/runs", json={"workflow": name, "run_id": name})
            assert answer.status_code == 200, answer.text
        async with open_inspector(cluster.settings) as here:
            assert sorted(one.run_id for one in await here.runs()) == ["asking", "plain"]
        await within(asked(http))
        said = {"type": "Reply", "value": {"text": "yes"}}
        sent = await http.post("/api/v1/runs/asking/events", json=said)
        assert sent.status_code == 200, sent.text
        async with http.stream("GET", "/api/v1/runs/asking/events?sse=true", timeout=20) as told:
            await within(told.aread())
        assert (await http.get("/api/v1/runs/asking")).json()["run"]["result"] == "yes"


async def asked(http: httpx.AsyncClient) -> None:
    """Return once a run waits for an answer."""
    while not (await http.get("/api/v1/waiting")).json()["waiting"]:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["app", "server"])
async def test_the_end_of_an_app_leaves_the_connections_of_its_host_open(cluster: Stage, kind: str) -> None:
    home = await home_of(cluster.settings)
    if kind == "app":
        app = create_app([], broker=cluster.settings)
        async with app.router.lifespan_context(app):
            assert await app.state.service.home() is home
    else:
        async with WorkflowServer(broker=cluster.settings).contextmanager():
            pass
    assert await home_of(cluster.settings) is home
    plain = await cluster.put_on(Plain)
    assert (await within(plain.run()))["count"] == 1


def test_the_host_of_a_mounted_app_stops_while_somebody_streams(
    server_url: str, namespace: str, tmp_path: Path
) -> None:
    console = Console(server_url, namespace, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    url = f"http://127.0.0.1:{port}/wf"
    command = [sys.executable, "-m", "uvicorn", "tests.apps.mounted:app", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=console.environment(), stderr=subprocess.DEVNULL) as host:

        def answers() -> bool:
            assert host.poll() is None
            with suppress(httpx.TransportError):
                return httpx.get(f"{url}/health").status_code == 200
            return False

        try:
            until(answers)
            data = httpx.post(f"{url}/workflows/asking/run-nowait", json={}, timeout=20).json()
            theirs, ours = f"/events/{data['handler_id']}", f"/api/v1/runs/{data['handler_id']}/events?sse=true"
            with (
                httpx.stream("GET", url + theirs, timeout=PATIENCE_S) as one,
                httpx.stream("GET", url + ours, timeout=PATIENCE_S) as another,
            ):
                assert (one.status_code, another.status_code) == (200, 200)
                host.send_signal(signal.SIGTERM)
                # Not ended as if they were whole: a client asks again elsewhere.
                for stream in (one, another):
                    with pytest.raises(httpx.RemoteProtocolError):
                        stream.read()
            # uvicorn ends as the signal would have ended it.
            assert host.wait(PATIENCE_S) in (0, -signal.SIGTERM)
        finally:
            host.kill()
