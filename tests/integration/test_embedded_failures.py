from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from broker_wf.embedded import BundledServer, keeper, layout, locks
from broker_wf.embedded.binary import find_server_binary
from broker_wf.errors import ServerStartError
from tests.integration.embedded_scene import (
    Scene,
    connected,
    is_free,
    read_line,
    script,
    until,
    until_written,
)
from tests.integration.embedded_scene import binary as binary
from tests.integration.embedded_scene import scene as scene

TRANSACTION = tuple(f"half-{n}" for n in range(5))


def tear_inside_the_last_transaction(directory: Path, seed: int) -> None:
    log = next((directory / "appendonlydir").glob("*.incr.aof"))
    written = log.read_bytes()
    begin = written.rindex(b"*1\r\n$5\r\nMULTI\r\n")
    with log.open("r+b") as opened:
        opened.truncate(random.Random(seed).randrange(begin + 1, len(written)))


def write_and_tear(scene: Scene, server: BundledServer, seed: int) -> None:
    with connected(server.acquire()) as client:
        client.set("before", "1")
        with client.pipeline(transaction=True) as pipe:
            for key in TRANSACTION:
                pipe.set(key, "x" * 20)
            pipe.execute()
        until_written(client)
    scene.kill_server()
    tear_inside_the_last_transaction(scene.directory, seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_log_torn_inside_a_transaction_is_repaired_for_good(scene: Scene, binary: str, seed: int) -> None:
    server = scene.server(binary)
    write_and_tear(scene, server, seed)
    with connected(server.ensure()) as client:
        assert client.mget("before", *TRANSACTION) == ["1"] + [None] * 5
        client.set("after", "1")
        until_written(client)
    scene.kill_server()
    with connected(server.ensure()) as client:
        assert client.mget("before", "after", *TRANSACTION) == ["1", "1"] + [None] * 5


@pytest.mark.parametrize("seed", range(3))
def test_without_a_checker_a_torn_log_is_rewritten(scene: Scene, tmp_path: Path, binary: str, seed: int) -> None:
    silent = script(tmp_path / "silent", f'[ "$1" = --version ] || exec {binary} "$@"')
    server = scene.server(silent)
    write_and_tear(scene, server, seed)
    with connected(server.ensure()) as client:
        until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
        client.set("after", "1")
        until_written(client)
    scene.kill_server()
    with connected(server.ensure()) as client:
        assert client.mget("before", "after", *TRANSACTION) == ["1", "1"] + [None] * 5


def test_a_data_directory_path_of_150_characters_works(scene: Scene, tmp_path: Path) -> None:
    scene.directory = tmp_path / ("d" * 150)
    with connected(scene.server().acquire()) as client:
        assert client.ping()


def test_a_running_server_is_found_wherever_its_socket_is(scene: Scene, tmp_path: Path) -> None:
    scene.directory = tmp_path / ("d" * 150)
    elsewhere = tmp_path / "run"
    short = elsewhere if len(str(elsewhere)) < 50 else None
    assert scene.server(runtime_dir=short).acquire() == scene.server(runtime_dir=Path("/nowhere")).acquire()


def test_a_path_with_blanks_quotes_and_other_letters_works(scene: Scene, tmp_path: Path) -> None:
    scene.directory = tmp_path / 'a "b" \\ %2F ü'
    with connected(scene.server().acquire()) as client:
        assert client.ping()


def test_a_broken_binary_is_reported_with_the_end_of_its_log(scene: Scene, tmp_path: Path) -> None:
    broken = script(tmp_path / "broken", "echo no such luck >&2; exit 1")
    with pytest.raises(ServerStartError, match="no such luck"):
        scene.server(broken).acquire()


def test_a_binary_that_cannot_be_executed_is_reported(scene: Scene, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"\x7fELF but not really")
    text.chmod(0o700)
    with pytest.raises(ServerStartError, match=r"cannot run .*text"):
        scene.server(text).acquire()


def test_a_binary_that_says_nothing_is_given_up_in_time(scene: Scene, tmp_path: Path) -> None:
    mute = script(tmp_path / "mute", '[ "$1" = --version ] || exec sleep 60')
    with pytest.raises(ServerStartError, match="does not answer in time"):
        scene.server(mute).acquire(timeout_s=0.3)


def test_a_server_with_much_to_read_is_given_the_time_for_it(scene: Scene, tmp_path: Path) -> None:
    mute = script(tmp_path / "mute", '[ "$1" = --version ] || exec sleep 60')
    log = scene.directory / "appendonlydir" / "appendonly.aof.1.incr.aof"
    log.parent.mkdir(parents=True)
    with log.open("wb") as file:
        file.truncate(7_500_000)
    began = time.monotonic()
    with pytest.raises(ServerStartError, match="does not answer in time"):
        scene.server(mute).acquire(timeout_s=0.1)
    assert time.monotonic() - began > 1.5


def test_a_failed_acquire_leaves_no_user_behind(scene: Scene, tmp_path: Path) -> None:
    mute = script(tmp_path / "mute", '[ "$1" = --version ] || exec sleep 60')
    server = scene.server(mute)
    with pytest.raises(ServerStartError):
        server.acquire(timeout_s=0.3)
    until(lambda: is_free(scene.server_lock))


def test_a_log_check_that_takes_too_long_is_given_up(scene: Scene, tmp_path: Path) -> None:
    real = find_server_binary(None).path
    slow = script(tmp_path / "slow", f'[ "$1" != --fix ] || exec sleep 60\nexec {real} "$@"')
    server = scene.server(slow)
    server.acquire()
    scene.kill_server()
    with pytest.raises(ServerStartError, match="took too long"):
        server.ensure(timeout_s=0.3)


def test_a_python_that_is_not_there_is_reported(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ServerStartError, match="cannot run '/nowhere/python'"):
        scene.server().acquire()


def test_a_keeper_that_fails_is_reported(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(script(tmp_path / "python", "echo no module today; exit 1")))
    with pytest.raises(ServerStartError, match="no module today"):
        scene.server().acquire()


def test_a_data_directory_that_cannot_be_made_is_reported(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    scene.directory = tmp_path / "file" / "data"
    with pytest.raises(ServerStartError, match="cannot be used"):
        scene.server().acquire()


def test_a_directory_for_sockets_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ServerStartError, match="nobody else may enter"):
        layout.make_private(tmp_path)


def test_a_directory_for_sockets_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(ServerStartError, match="nobody else may enter"):
        layout.make_private(tmp_path / "link")


def test_a_log_over_its_limit_is_begun_anew(scene: Scene) -> None:
    scene.directory.mkdir()
    (scene.directory / "server.log").write_bytes(b"old\n" * (1 << 19))
    scene.server().acquire()
    assert "old" not in scene.log


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = script(tmp_path / "deaf", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    with (
        closing(locks.LockFile(tmp_path / "server.lock")) as ours,
        closing(locks.LockFile(tmp_path / "server.lock")) as seen,
    ):
        assert ours.try_exclusive()
        with subprocess.Popen([deaf], pass_fds=[ours.fd], stdout=subprocess.PIPE, text=True) as server:
            assert read_line(server) == "ready"
            os.pwrite(ours.fd, b"%d\n" % server.pid, 0)
            ours.close()
            keeper.stop_server(seen.fd, signal.SIGTERM, 0.1)
            assert server.poll() is None
            keeper.stop_server(seen.fd, signal.SIGKILL, 10.0)
            assert server.wait() == -signal.SIGKILL


def test_a_keeper_waits_for_the_last_user_and_then_stops_the_server(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as server:
        (tmp_path / "server.lock").write_text(f"{server.pid}\n")
        lock = locks.LockFile(tmp_path / "server.lock")
        user, users = locks.LockFile(tmp_path / "users.lock"), locks.LockFile(tmp_path / "users.lock")
        seen = locks.LockFile(tmp_path / "server.lock")
        assert user.try_shared()
        assert lock.try_exclusive()
        keeping = threading.Thread(target=keeper.keep, args=(users.fd, seen.fd, 0.05))
        keeping.start()
        user.close()
        assert server.wait() == -signal.SIGTERM
        lock.close()
        keeping.join()
        assert seen.try_exclusive()
        for opened in (users, seen):
            opened.close()
