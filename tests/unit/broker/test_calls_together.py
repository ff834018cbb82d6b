"""Calls that share one command."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ResponseError

from broker_wf.broker.connection import Pipe
from broker_wf.broker.script import load
from broker_wf.errors import BrokerError
from tests.unit.broker.answering import Server, pipe_to

COMMITS = load("commits")


def _all_fine(command: tuple[Any, ...]) -> object:
    return [[b"OK", did] for did in command[6::2]]


def server_with(*answers: object) -> Server:
    return Server(*answers, fine=_all_fine)


def ask(pipe: Pipe, *names: str, run: str = "r") -> list[asyncio.Future[Any]]:
    return [asyncio.ensure_future(pipe.call_together(COMMITS, (run, 0), (name, b"plan"))) for name in names]


async def test_those_of_one_turn_are_one_command_for_each_run_and_each_gets_its_own_reply() -> None:
    server = server_with()
    pipe = pipe_to(server)
    mine, others = ask(pipe, "a", "b"), ask(pipe, "c", run="s")
    assert await asyncio.gather(*mine, *others) == [[b"OK", "a"], [b"OK", "b"], [b"OK", "c"]]
    assert [one[4:] for one in server.sent] == [("r", 0, "a", b"plan", "b", b"plan"), ("s", 0, "c", b"plan")]


async def test_who_comes_when_it_is_on_its_way_goes_with_the_next_and_more_than_a_hundred_with_another() -> None:
    server = server_with()
    pipe = pipe_to(server)
    server.may_answer.clear()
    first = ask(pipe, "a")
    await asyncio.sleep(0.01)
    rest = ask(pipe, *map(str, range(101)))
    server.may_answer.set()
    await asyncio.gather(*first, *rest)
    assert [(len(one) - 6) // 2 for one in server.sent] == [1, 100, 1]


async def test_one_that_is_cancelled_takes_nobody_along() -> None:
    server = server_with()
    pipe = pipe_to(server)
    server.may_answer.clear()
    gone, stays = ask(pipe, "a", "b")
    await asyncio.sleep(0.01)
    gone.cancel()
    server.may_answer.set()
    assert await stays == [b"OK", "b"]


async def test_a_refusal_is_everybodys() -> None:
    pipe = pipe_to(server_with(ResponseError("WRONGTYPE it is another")))
    both = ask(pipe, "a", "b")
    found = await asyncio.gather(*both, return_exceptions=True)
    assert [type(one) for one in found] == [BrokerError, BrokerError]


async def test_a_pipe_that_is_closed_cancels_all_of_them() -> None:
    server = server_with()
    client: Any = server
    pipe = pipe_to(server)
    server.may_answer.clear()
    client.aclose = asyncio.Event().set
    ask(pipe, "x")
    await asyncio.sleep(0.01)
    both = ask(pipe, "a", "b")
    await asyncio.sleep(0.01)
    for call in pipe._waiting:
        call.reply.cancel()
    with pytest.raises(asyncio.CancelledError):
        await both[1]
    assert both[0].cancelled()
    server.may_answer.set()
    await asyncio.sleep(0.01)
