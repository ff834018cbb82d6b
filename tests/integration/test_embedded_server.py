from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from contextlib import closing

import pytest

from broker_wf.embedded import BundledServer, locks
from broker_wf.errors import ServerStartError
from tests.integration.embedded_scene import (
    FORKING,
    LINGER_S,
    Scene,
    connected,
    is_free,
    pid_in,
    read_line,
    tell,
    until,
    until_written,
)
from tests.integration.embedded_scene import binary as binary
from tests.integration.embedded_scene import scene as scene


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


def test_one_who_comes_and_goes_while_it_lingers_makes_it_linger_anew(scene: Scene) -> None:
    first, second = (BundledServer(scene.directory, server_binary=None, linger_s=1.0) for _ in range(2))
    scene.servers += [first, second]
    first.acquire()
    first.release()
    time.sleep(0.6)
    second.acquire()
    second.release()
    left = time.monotonic()
    until(lambda: is_free(scene.server_lock))
    assert time.monotonic() - left >= 1.0


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
