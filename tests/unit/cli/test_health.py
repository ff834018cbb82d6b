from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from broker_wf.cli import health
from broker_wf.embedded.layout import layout_of


def test_it_imports_nothing_that_takes_long() -> None:
    program = (
        "import sys; from broker_wf.cli.main import main; sys.argv = ['broker-wf', 'health', '--url', 'redis://127.0.0.1:1'];"
        "slow = {'pydantic', 'redis', 'click', 'msgpack', 'asyncio', 'dataclasses', 'inspect'};"
        "print(main(), *(slow & set(sys.modules)))"
    )
    # Who watches which lines are executed imports some of it too.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ended = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert ended.stdout == "4\n"


def test_it_looks_for_the_bundled_server_where_that_is(tmp_path: Path) -> None:
    assert health.server_lock(tmp_path) == layout_of(tmp_path, None).server_lock


def test_a_worker_that_touched_its_file_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "health"
    file.touch()
    monkeypatch.setenv("BROKER_WF_HEALTH_FILE", str(file))
    assert health.main(["--worker"]) == 0


def test_a_worker_that_touched_it_too_long_ago_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "health"
    file.touch()
    os.utime(file, (time.time() - 60, time.time() - 60))
    monkeypatch.setenv("BROKER_WF_HEALTH_FILE", str(file))
    assert health.main(["--worker"]) == 1
    assert "60 s ago" in capsys.readouterr().err


def test_a_worker_that_never_touched_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_WF_HEALTH_FILE", str(tmp_path / "none"))
    assert health.main(["--worker"]) == 1


def test_without_a_health_file_there_is_nothing_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main(["--worker"]) == 2
    assert "BROKER_WF_HEALTH_FILE" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--nope"], ["--url"], ["extra"], ["--url", "http://x"]])
def test_a_wrong_argument_is_told(arguments: list[str]) -> None:
    assert health.main(arguments) == 2


def test_a_bundled_server_that_does_not_run_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_WF_DATA", str(tmp_path / "data"))
    assert health.main([]) == 4
    assert not (tmp_path / "data").exists()


@pytest.fixture
def answering(tmp_path: Path) -> Callable[[list[bytes]], tuple[str, list[bytes]]]:
    """A server that gives these answers, one for each thing it is told; what it was told is noted."""

    def start(answers: list[bytes]) -> tuple[str, list[bytes]]:
        told: list[bytes] = []
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, listener:
                for answer in answers:
                    told.append(connection.recv(1000))
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return f"{tmp_path / 's'}", told

    return start


Answering = Callable[[list[bytes]], tuple[str, list[bytes]]]


def test_a_server_that_answers_is_well(answering: Answering) -> None:
    path, told = answering([b"+PONG\r\n"])
    assert health.main(["--url", f"unix://{path}"]) == 0
    assert told == [b"*1\r\n$4\r\nPING\r\n"]


def test_a_password_is_given_before_the_question(answering: Answering) -> None:
    path, told = answering([b"+OK\r\n", b"+PONG\r\n"])
    assert health.main([f"--url=unix://user:p%40ss@{path}"]) == 0
    assert told[0] == b"*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$4\r\np@ss\r\n"


@pytest.mark.parametrize("answer", [b"-WRONGPASS invalid\r\n", b"-NOAUTH Authentication required.\r\n"])
def test_a_password_that_is_wrong_is_told_without_it(
    answering: Answering, answer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = answering([answer])
    assert health.main(["--url", f"unix://:secret@{path}"]) == 4
    told = capsys.readouterr().err
    assert answer[1:8].decode() in told
    assert "secret" not in told


def test_a_server_that_does_not_speak_tls_is_not_well_for_who_asks_for_it() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            connection.recv(1000)
            connection.sendall(b"-ERR unknown command\r\n")

    threading.Thread(target=serve, daemon=True).start()
    assert health.main(["--url", f"rediss://127.0.0.1:{listener.getsockname()[1]}"]) == 4


@pytest.mark.parametrize("answer", [b"-LOADING dataset\r\n", b""])
def test_a_server_that_is_not_ready_is_not_well(answering: Answering, answer: bytes) -> None:
    path, _ = answering([answer])
    assert health.main(["--url", f"unix://{path}"]) == 4
