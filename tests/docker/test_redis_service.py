"""The server of docker-compose.yml: who reaches it, how it is set up, what it does with a torn log."""

from __future__ import annotations

import pytest
import redis
from docker.models.containers import Container

from tests.docker.stack import Stack, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]

INCREMENT = "/data/appendonlydir/appendonly.aof.1.incr.aof"


@pytest.fixture(scope="module")
def served(stack: Stack) -> Stack:
    start(stack)
    return stack


def start(stack: Stack) -> None:
    stack.compose("up", "-d", "redis")
    wait_until(lambda: stack.healthy("redis") == 1, "the server is healthy")


def test_the_server_is_reached_from_this_machine_only(served: Stack) -> None:
    host, _port = served.server_address()
    assert host == "127.0.0.1"


def test_nobody_gets_in_without_the_password(served: Stack) -> None:
    host, port = served.server_address()
    with redis.Redis(host=host, port=port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_the_password_is_in_no_argument_list(served: Stack) -> None:
    arguments = served.printed_by("redis", "sh", "-c", r"cat /proc/[0-9]*/cmdline | tr '\0' ' '")
    assert "redis-server" in arguments
    assert served.password not in arguments


def test_the_server_keeps_a_log_and_evicts_nothing(served: Stack) -> None:
    with served.server() as client:
        names = ["appendonly", "appendfsync", "maxmemory-policy", "maxmemory", "lazyfree-lazy-expire"]
        assert client.config_get(*names) == {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "maxmemory": str(1 << 30),
            "lazyfree-lazy-expire": "yes",
        }


def test_the_server_does_not_run_as_root(served: Stack) -> None:
    assert served.printed_by("redis", "stat", "-c", "%U", "/proc/1") == "redis\n"


def test_a_torn_log_is_cut_back_to_the_last_whole_transaction(served: Stack) -> None:
    with served.server() as client:
        client.set("whole", 1)
        with client.pipeline(transaction=True) as torn:
            torn.set("torn", 1)
            torn.set("torn too", 1)
            torn.execute()
        wait_until(lambda: fsynced(client), "the log is on disk")
    (container,) = served.containers("redis")
    container.kill()
    cut(served, container)
    start(served)
    with served.server() as client:
        assert client.mget("whole", "torn", "torn too") == ["1", None, None]
        client.set("written after", 1)
    served.compose("restart", "redis")
    wait_until(lambda: served.healthy("redis") == 1, "the server is healthy")
    with served.server() as client:
        assert client.mget("whole", "torn", "torn too", "written after") == ["1", None, None, "1"]
    assert "Successfully truncated AOF" in served.logs("redis")


def cut(stack: Stack, container: Container) -> None:
    """Take the last bytes of the log away, as a power loss would."""
    assert container.image is not None
    assert container.id is not None
    command = ["truncate", "-s", "-20", INCREMENT]
    stack.engine.containers.run(container.image, command, volumes_from=[container.id], remove=True)


def fsynced(client: redis.Redis) -> bool:
    told = client.info("persistence")
    return told["aof_buffer_length"] == 0 and told["aof_pending_bio_fsync"] == 0
