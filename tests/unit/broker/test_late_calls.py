"""Calls whose arguments are asked for when they are sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.exceptions

from broker_wf.broker.connection import Pipe
from broker_wf.broker.script import load
from tests.unit.broker.answering import Server, pipe_to

CLAIM = load("claim")
MISSING = redis.exceptions.ResponseError("Function not found")
FULL = redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")


class Asked:
    """The arguments of a claim, and how often they were asked for."""

    def __init__(self) -> None:
        self.first, self.again = list[int](), list[int]()
        self.free = 1

    def values(self, again: int) -> tuple[object, ...]:
        (self.again if again else self.first).append(self.free)
        return "w", "f", self.free, 0, 0, again, 1000, 2, 1, "+.-", 0, b"\x90"


def claim(server: Server, asked: Asked, pipe: Pipe | None = None) -> asyncio.Future[Any]:
    pipe = pipe or pipe_to(server)
    return asyncio.ensure_future(pipe.call_late(CLAIM, lambda: asked.values(0), lambda: asked.values(1)))


async def test_the_arguments_are_those_of_the_moment_when_it_is_sent() -> None:
    server, asked = Server("done"), Asked()
    reply = claim(server, asked)
    asked.free = 5
    assert await reply == "done"
    assert ([one[6] for one in server.sent], asked.again) == ([5], [])


@pytest.mark.parametrize("times", [1, 2])
async def test_one_whose_reply_was_lost_is_repeated_as_a_repetition(times: int) -> None:
    server, asked = Server(*[redis.exceptions.ConnectionError("gone")] * times, "done"), Asked()
    assert await claim(server, asked) == "done"
    assert [one[9] for one in server.sent] == [0, *[1] * times]
    assert (len(asked.first), len(asked.again)) == (1, 1)


async def test_a_server_that_lacks_the_script_gets_it_and_one_that_is_too_full_gets_it_with_the_call() -> None:
    server, asked = Server(MISSING, "loaded", "done"), Asked()
    assert await claim(server, asked) == "done"
    assert [one[0] for one in server.sent] == ["FCALL", "FUNCTION", "FCALL"]
    full, asked = Server(MISSING, FULL, MISSING, "done"), Asked()
    assert await claim(full, asked) == "done"
    assert [one[0] for one in full.sent] == ["FCALL", "FUNCTION", "FCALL", "EVAL"]
    assert full.sent[-1][2:] == (1, "{n/0}:", *asked.values(1))


async def test_one_behind_a_call_that_is_repeated_is_repeated_behind_it() -> None:
    """The commit that makes work and counts on this claim is only done then."""
    server, asked = Server(MISSING, "too early", "loaded", "committed", "done"), Asked()
    pipe = pipe_to(server)
    commit = pipe.call(load("release"), [])
    assert await claim(server, asked, pipe) == "done"
    assert await commit == "committed"
    assert [one[1].split("_")[2] for one in server.sent if one[0] == "FCALL"] == ["release", "claim"] * 2
    assert [one[9] for one in server.sent if "claim" in one[1]] == [0, 1]


async def test_it_goes_out_behind_what_is_asked_for_after_it() -> None:
    """The commit of another run that makes work counts on it too."""
    server, asked = Server("committed", "done"), Asked()
    pipe = pipe_to(server)
    reply = claim(server, asked, pipe)
    commit = pipe.call(load("release"), [])
    assert (await reply, await commit) == ("done", "committed")
    assert [one[1].split("_")[2] for one in server.sent] == ["release", "claim"]


async def test_one_that_is_sent_is_not_held_up_by_what_comes_then() -> None:
    server, asked = Server("done", MISSING, "loaded", "released"), Asked()
    pipe = pipe_to(server)
    assert await claim(server, asked, pipe) == "done"
    assert await pipe.call(load("release"), []) == "released"
    assert (len(asked.first), asked.again) == (1, [])


async def test_one_whose_arguments_cannot_be_made_fails_and_the_next_ones_go_on() -> None:
    server, asked = Server("done"), Asked()
    pipe = pipe_to(server)
    failing = asyncio.ensure_future(pipe.call_late(CLAIM, lambda: (1 / 0,), lambda: ()))
    with pytest.raises(ZeroDivisionError):
        await failing
    assert await claim(server, asked, pipe) == "done"
