"""Turns of an event loop: of many that begin at one time, few go on in each."""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakKeyDictionary

from broker_wf.core.clock import SystemClock

IN_ONE_TURN = 64


class Turns:
    """Those of one event loop. Who has waited longest goes on first."""

    def __init__(self, most: int) -> None:
        """Prepare.

        Args:
            most: so many go on in one turn.
        """
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._most = self._left = most

    async def own(self) -> None:
        """Go on now, or once it is the turn of who waits here."""
        loop = asyncio.get_running_loop()
        if self._left == self._most:
            loop.call_soon(self._next, loop)
        if self._left > 0:
            self._left -= 1
            return
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = self._most
        while self._waiting and self._left > 0:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._left -= 1
        if self._left < self._most:
            loop.call_soon(self._next, loop)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


async def own_turn() -> None:
    """Go on in a later turn of the running event loop, with at most 63 others.

    What the first of many have asked for is so under way while the others still get ready.
    """
    await SystemClock().sleep_ms(0)
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = Turns(IN_ONE_TURN)
    await turns.own()
