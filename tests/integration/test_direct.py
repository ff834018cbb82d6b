"""The connection that goes past redis-py, on a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from broker_wf.broker import direct
from broker_wf.broker.clients import RedisClient
from broker_wf.broker.connection import Timeouts, async_client
from broker_wf.broker.direct import DirectClient
from tests.integration.stage import until, within

TIMEOUTS = Timeouts(socket_ms=10_000, connect_ms=10_000, block_ms=0)
IMPATIENT = Timeouts(socket_ms=1_000, connect_ms=10_000, block_ms=0)


@pytest_asyncio.fixture
async def client(server_url: str) -> AsyncIterator[RedisClient]:
    made = async_client(server_url, TIMEOUTS)
    yield made
    await made.aclose()


@pytest_asyncio.fixture
async def impatient(server_url: str) -> AsyncIterator[RedisClient]:
    made = async_client(server_url, IMPATIENT)
    yield made
    await made.aclose()


async def asked(client: RedisClient, *commands: tuple[str | bytes | int | float, ...]) -> list[object]:
    batch = client.pipeline(transaction=False)
    for command in commands:
        batch.execute_command(*command)
    return await within(batch.execute(raise_on_error=False))


async def test_replies_come_in_order_and_errors_among_them(client: RedisClient) -> None:
    assert isinstance(client, DirectClient)
    first, fault, last = await asked(client, ("ECHO", "ä"), ("NO-SUCH-COMMAND",), ("ECHO", 1.5))
    assert (first, last) == ("ä".encode(), b"1.5")
    assert isinstance(fault, ResponseError)
    assert str(fault).startswith("unknown command")
    with pytest.raises(ResponseError):
        await client.execute_command("NO-SUCH-COMMAND")


async def test_much_is_sent_and_heard_in_parts(client: RedisClient) -> None:
    large = b"x" * 5_000_000
    assert await asked(client, *[("ECHO", large)] * 5, ("PING",)) == [large] * 5 + [b"PONG"]


async def test_a_long_argument_goes_with_others_of_all_kinds(client: RedisClient) -> None:
    large = b"x" * 200_000
    kept = await asked(client, ("HSET", "long", "ä", 1, "n", 1.5, "large", large), ("HMGET", "long", "ä", "n", "large"))
    assert kept == [3, [b"1", b"1.5", large]]


async def test_who_ask_at_one_time_get_their_own_replies(client: RedisClient) -> None:
    told = await asyncio.gather(*[client.execute_command("ECHO", str(n)) for n in range(50)])
    assert told == [str(n).encode() for n in range(50)]


async def test_a_connection_that_is_lost_is_told_and_made_anew(server_url: str, client: RedisClient) -> None:
    name = await client.execute_command("CLIENT", "ID")
    waiting = asyncio.ensure_future(client.execute_command("BLPOP", f"nothing-{name}", "20"))
    with redis.Redis.from_url(server_url) as other:
        await until(lambda: any(one["id"] == str(name) and one["cmd"] == "blpop" for one in other.client_list()))
        other.client_kill_filter(_id=str(name))
    with pytest.raises(ConnectionError):
        await within(waiting)
    assert await client.execute_command("CLIENT", "ID") != name


async def test_a_connection_that_is_lost_between_two_questions_is_noticed(server_url: str, client: RedisClient) -> None:
    name = await client.execute_command("CLIENT", "ID")
    with redis.Redis.from_url(server_url) as other:
        other.client_kill_filter(_id=str(name))
    await asyncio.sleep(0.05)
    with pytest.raises(ConnectionError):
        await client.execute_command("PING")
    assert await client.execute_command("PING") == b"PONG"


async def test_a_reply_that_does_not_come_is_not_taken_for_another(server_url: str, impatient: RedisClient) -> None:
    assert await impatient.execute_command("PING") == b"PONG"
    with pytest.raises(TimeoutError):
        await within(impatient.execute_command("BLPOP", "nothing", "5"))
    assert await impatient.execute_command("ECHO", "mine") == b"mine"


async def test_what_is_heard_puts_the_time_out_off(impatient: RedisClient) -> None:
    told = await asked(impatient, *[("BLPOP", "nothing", "0.4")] * 4)
    assert told == [None] * 4


async def test_who_is_cancelled_leaves_no_reply_to_others(client: RedisClient) -> None:
    waiting = asyncio.ensure_future(client.execute_command("BLPOP", "nothing", "1"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await client.execute_command("ECHO", "mine") == b"mine"


async def test_a_loop_that_stood_still_hears_what_has_come_meanwhile(impatient: RedisClient) -> None:
    assert await impatient.execute_command("PING") == b"PONG"
    asking = asyncio.ensure_future(impatient.execute_command("ECHO", "there"))
    await asyncio.sleep(0)
    time.sleep(1.2)
    assert await within(asking) == b"there"


async def test_where_redis_py_gives_nothing_away_it_is_asked_itself(
    client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "can_take", lambda _: False)
    fault, last = await asked(client, ("NO-SUCH-COMMAND",), ("ECHO", "by redis-py"))
    assert isinstance(fault, ResponseError)
    assert last == b"by redis-py"
    assert await client.execute_command("PING") in (True, b"PONG")


def test_connections_with_tls_stay_with_redis_py() -> None:
    assert not isinstance(async_client("rediss://127.0.0.1:1/0", TIMEOUTS), DirectClient)
