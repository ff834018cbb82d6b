from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.integration.console import APP, Console, lines, until
from tests.integration.key_audit import problems
from tests.servers import private_server, server_binary

SLOW = f"{APP}:slow"


@pytest.fixture
def audited(console: Console) -> Iterator[Console]:
    """For tests that leave neither live runs nor killed workers."""
    yield console
    console.close()
    with redis.Redis.from_url(console.url) as client:
        assert problems(client, console.namespace) == []


def begun(console: Console, file: Path, run_id: str, seconds: float) -> None:
    """Submit a slow run, and return when a step of it executes."""
    console.run("run", SLOW, f"file={file}", f"seconds={seconds}", "--run-id", run_id, "-d")
    until(lambda: bool(lines(file)))


def test_the_steps_of_one_run_spread_over_the_processes_of_one_command(audited: Console) -> None:
    worker = audited.worker(f"{APP}:spread", "--processes", "3", "--concurrency", "4", count=3)
    pids = {str(one["pid"]) for one in audited.workers()}
    ended = audited.run("run", f"{APP}:spread", "n=40")
    assert ended.json == sorted(pids)
    assert {one["concurrency"] for one in audited.workers()} == {4}
    assert audited.end(worker, signal.SIGTERM).code == 0
    assert audited.workers() == []


def test_sigterm_lets_a_step_finish_and_takes_no_new_one(audited: Console, tmp_path: Path) -> None:
    worker = audited.worker(SLOW)
    begun(audited, tmp_path / "a", "first", seconds=4)
    worker.send_signal(signal.SIGTERM)
    audited.run("run", SLOW, f"file={tmp_path / 'b'}", "seconds=0", "--run-id", "second", "-d")
    ended = audited.end(worker)
    assert ended.code == 0
    assert "draining: 1 deliveries" in ended.err
    assert audited.status_of("first") == "completed"
    assert (audited.status_of("second"), lines(tmp_path / "b")) == ("running", [])
    audited.run("runs", "cancel", "second")


def test_what_does_not_finish_in_time_is_handed_back(audited: Console, tmp_path: Path) -> None:
    worker = audited.worker(SLOW, "--drain-timeout", "300ms", "--lease-ms", "60000")
    begun(audited, tmp_path / "a", "first", seconds=60)
    assert audited.end(worker, signal.SIGTERM).code == 0
    (delivery,) = audited.run("runs", "show", "first", "--json").json["deliveries"]
    assert (delivery["state"], delivery["attempt"], delivery["crashes"]) == ("queued", 1, 0)
    audited.run("runs", "cancel", "first")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_signal_hands_everything_back_at_once(audited: Console, tmp_path: Path, processes: int) -> None:
    worker = audited.worker(
        SLOW, "-p", str(processes), "--drain-timeout", "60s", "--lease-ms", "60000", count=processes
    )
    begun(audited, tmp_path / "a", "first", seconds=60)
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr is not None
    while "draining" not in worker.stderr.readline():
        pass
    began = time.monotonic()
    ended = audited.end(worker, signal.SIGTERM)
    assert ended.code == 0
    assert time.monotonic() - began < 15
    (delivery,) = audited.run("runs", "show", "first", "--json").json["deliveries"]
    assert delivery["state"] == "queued"
    audited.run("runs", "cancel", "first")


def test_a_process_that_is_killed_is_replaced_and_its_work_done_again(console: Console, tmp_path: Path) -> None:
    worker = console.worker(SLOW, "--processes", "2", count=2)
    file = tmp_path / "a"
    begun(console, file, "first", seconds=2)
    victim = int(lines(file)[0].split()[1])
    os.kill(victim, signal.SIGKILL)
    until(lambda: console.status_of("first") == "completed")
    assert len({line.split()[1] for line in lines(file) if line.startswith("began")} - {str(victim)}) == 1
    until(lambda: len({one["pid"] for one in console.workers()} - {victim}) == 2)
    ended = console.end(worker, signal.SIGTERM)
    assert ended.code == 0
    assert f"worker process {victim} died with SIGKILL" in ended.err


def test_children_of_a_killed_parent_finish_what_they_do_and_go(console: Console, tmp_path: Path) -> None:
    worker = console.worker(SLOW, "--processes", "2", count=2)
    begun(console, tmp_path / "a", "first", seconds=1)
    worker.kill()
    until(lambda: console.workers() == [])
    assert console.status_of("first") == "completed"


@pytest.mark.parametrize("processes", ["1", "3"])
def test_what_cannot_be_imported_is_all_told_once(console: Console, processes: str) -> None:
    ended = console.run("worker", "nowhere:flow", f"{APP}:absent", f"{APP}:Said", "--processes", processes)
    assert (ended.code, ended.out) == (3, "")
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert errors == [f"Error: cannot load '{name}'" for name in ("nowhere:flow", f"{APP}:absent", f"{APP}:Said")]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_another_class_under_a_name_in_use_is_refused(console: Console, processes: str) -> None:
    console.worker(f"{APP}:echo")
    ended = console.run("worker", f"{APP}:impostor", "--processes", processes)
    assert ended.code == 6
    assert f"{APP}:Echo" in ended.err
    assert f"{APP}:Impostor" in ended.err
    assert len(console.workers()) == 1


def test_a_class_and_a_list_may_be_served_too(audited: Console) -> None:
    worker = audited.worker(f"{APP}:Echo", f"{APP}:everything")
    (facts,) = audited.workers()
    assert sorted(facts["workflows"]) == sorted(
        f"{APP}.{n}" for n in ("Echo", "Greet", "Failing", "Odd", "Slow", "Spread")
    )
    audited.end(worker, signal.SIGTERM)


def test_a_worker_touches_its_health_file(audited: Console, tmp_path: Path) -> None:
    file = str(tmp_path / "health")
    assert audited.run("health", "--worker", BROKER_WF_HEALTH_FILE=file).code == 1
    worker = audited.worker(f"{APP}:echo", BROKER_WF_HEALTH_FILE=file)
    until(lambda: Path(file).exists())
    assert audited.run("health", "--worker", BROKER_WF_HEALTH_FILE=file).code == 0
    audited.end(worker, signal.SIGTERM)


def test_logs_say_run_step_attempt_and_worker(audited: Console) -> None:
    worker = audited.worker(f"{APP}:failing", "--log-level", "debug", "--log-format", "json")
    audited.run("run", f"{APP}:failing", "--run-id", "told")
    told = [json.loads(line) for line in audited.end(worker, signal.SIGTERM).err.splitlines()]
    assert {line["pid"] for line in told} == {worker.pid}
    (serves,) = [line for line in told if "serves" in line["message"]]
    failed = [line for line in told if "step fail of run told, attempt 1" in line["message"]]
    assert failed
    for line in failed:
        assert (line["run_id"], line["step"], line["attempt"]) == ("told", "fail", 1)
        assert f"worker {line['worker']} serves" in serves["message"]
    assert "run_id" not in serves


def test_plain_lines_name_the_step_they_were_written_in(audited: Console) -> None:
    worker = audited.worker(f"{APP}:failing")
    audited.run("run", f"{APP}:failing", "--run-id", "told")
    told = audited.end(worker, signal.SIGTERM).err.splitlines()
    assert any("[run_id=told step=fail attempt=1 worker=" in line for line in told)
    assert all("[run_id=" not in line for line in told if " serves " in line)


def test_a_password_from_the_environment_is_in_no_argument_list(console: Console) -> None:
    worker = console.worker(f"{APP}:echo", "--processes", "2", count=2)
    for one in console.workers():
        listed = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(one["pid"])], capture_output=True, text=True)
        assert "--child-of" in listed.stdout
        assert console.url not in listed.stdout
    console.end(worker, signal.SIGTERM)


def test_a_worker_waits_a_while_for_a_server_that_is_about_to_start(console: Console, tmp_path: Path) -> None:
    link = tmp_path / "s.sock"
    patience = {"BROKER_WF_URL": f"unix://{link}", "BROKER_WF_CONNECT_TIMEOUT_MS": "20000"}
    worker = console.start("worker", f"{APP}:echo", "--log-level", "debug", **patience)
    assert worker.stderr is not None
    while "no Redis server answers" not in worker.stderr.readline():
        pass
    with private_server(server_binary("bundled")) as url:
        link.symlink_to(url.removeprefix("unix://"))
        console.url = url
        until(lambda: len(console.workers()) == 1)
        assert console.end(worker, signal.SIGTERM).code == 0
