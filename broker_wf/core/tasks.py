"""Tasks that serve everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from functools import partial
from typing import TypeVar

T = TypeVar("T")


def begin_apart(what: Coroutine[object, object, T], context: Context | None = None) -> asyncio.Task[T]:
    """Begin a task that inherits no context variable of who begins it, but those of a context, if one is given.

    Whoever finds work may be in the middle of a step; what that step has set, and the log it writes to, are no
    business of what is begun for others.
    """
    return (context or Context()).run(asyncio.get_running_loop().create_task, what)


async def outcome_of(shared: asyncio.Future[T]) -> T:
    """The outcome of what others wait for too: who is cancelled here cancels nothing there.

    As ``asyncio.shield``, with two objects where that makes ten, all of which the garbage collector goes through.
    """
    if not shared.done():
        waiter = asyncio.get_running_loop().create_future()
        wake = partial(_wake, waiter)
        shared.add_done_callback(wake)
        try:
            await waiter
        finally:
            shared.remove_done_callback(wake)
    return shared.result()


def _wake(waiter: asyncio.Future[None], _: object) -> None:
    if not waiter.done():
        waiter.set_result(None)
