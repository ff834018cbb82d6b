"""Turns of an event loop: of thousands that begin at one time, few go on in each."""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakKeyDictionary

from broker_wf.core.clock import SystemClock

IN_ONE_TURN = 64


class _Turns:
    """Those of one event loop. Who has waited longest goes on first."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left = IN_ONE_TURN

    async def own(self) -> None:
        await SystemClock().sleep_ms(0)
        loop = asyncio.get_running_loop()
        if self._left == IN_ONE_TURN:
            loop.call_soon(self._next, loop)
        if self._left > 0:
            self._left -= 1
            return
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = IN_ONE_TURN
        while self._waiting and self._left > 0:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._left -= 1
        if self._left < IN_ONE_TURN:
            loop.call_soon(self._next, loop)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


async def own_turn() -> None:
    """Go on in a later turn of the running event loop, with at most 63 others.

    What the first of many have asked for is so under way while the others still get ready.
    """
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = _Turns()
    await turns.own()
