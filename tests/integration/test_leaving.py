"""How worker processes leave: what they close, what they leave behind, and for whom they do not wait."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.console import Console, lines, until
from tests.servers import server_binary, socket_url, start_server

APP = "tests.apps.leaving"


@pytest.fixture
def console(server_url: str, namespace: str, tmp_path: Path) -> Iterator[Console]:
    made = Console(server_url, namespace, tmp_path / "data")
    try:
        yield made
    finally:
        made.close()


def test_a_worker_that_drains_closes_what_its_steps_have_opened(console: Console, tmp_path: Path) -> None:
    worker, file = console.worker(f"{APP}:opening"), tmp_path / "file"
    assert console.run("run", f"{APP}:opening", f"file={file}").code == 0
    assert lines(file) == ["used"]
    assert console.end(worker, signal.SIGTERM).code == 0
    assert lines(file) == ["used", "closed"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_step_in_a_thread_is_handed_back_and_does_not_keep_its_process_from_ending(
    console: Console, tmp_path: Path, processes: str
) -> None:
    worker = console.worker(
        f"{APP}:stubborn", "-p", processes, "--drain-timeout", "200ms", "--lease-ms", "60000", count=int(processes)
    )
    file = tmp_path / "file"
    console.run("run", f"{APP}:stubborn", f"file={file}", "seconds=50", "--run-id", "first", "-d")
    until(lambda: bool(lines(file)))
    begun = time.monotonic()
    assert console.end(worker, signal.SIGTERM).code == 0
    assert time.monotonic() - begun < 10
    (delivery,) = console.run("runs", "show", "first", "--json").json["deliveries"]
    assert (delivery["state"], delivery["crashes"]) == ("queued", 0)
    console.run("runs", "cancel", "first")


@pytest.mark.parametrize("second_signal", [False, True])
def test_a_drain_ends_in_time_without_the_server(tmp_path: Path, namespace: str, second_signal: bool) -> None:
    directory = Path(tempfile.mkdtemp(prefix="bwf-"))
    server = start_server(server_binary("bundled"), directory)
    console = Console(socket_url(directory), namespace, tmp_path / "data")
    try:
        drain = "60s" if second_signal else "500ms"
        worker, file = console.worker(f"{APP}:stubborn", "--drain-timeout", drain), tmp_path / "file"
        console.run("run", f"{APP}:stubborn", f"file={file}", "seconds=50", "-d")
        until(lambda: bool(lines(file)))
        server.kill()
        server.wait()
        worker.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        if second_signal:
            assert worker.stderr is not None
            while "draining" not in worker.stderr.readline():
                pass
            worker.send_signal(signal.SIGTERM)
        ended = console.end(worker)
        # Half a second of drain and two for the goodbye; the rest is what a loaded machine needs to end a process.
        assert time.monotonic() - begun < 5
        assert ended.code == 0
        assert "left without a goodbye: the server does not answer" in ended.err
    finally:
        console.close()
        server.kill()
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)
