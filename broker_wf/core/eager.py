"""A coroutine executed at once, in a context of its own, by the task that awaits it later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Eager(Generic[T]):
    """A coroutine that has gone as far as it could: to its end, or to where it first waits for something.

    Awaited, by the task that has made this, it goes on from there.

    Attributes:
        paused: it waits for something.
    """

    def __init__(self, what: Coroutine[object, object, T], context: Context) -> None:
        """Execute it up to there. Raises whatever it raises."""
        self._what, self._context = what, context
        self.paused = False
        self._waits_for: object = None
        self._result: object = None
        self._go(what.send, None)

    @property
    def result(self) -> T:
        """What it gave, once it is no longer paused."""
        return cast(T, self._result)

    def throw(self, error: BaseException) -> None:
        """Raise an error in it where it waits. Raises what it does not catch."""
        self._go(self._what.throw, error)

    async def stop(self) -> None:
        """Cancel it where it waits, if it does, and wait for its end, whatever that is."""
        with suppress(Exception, asyncio.CancelledError):
            if self.paused:
                self.throw(asyncio.CancelledError())
            await self

    def __await__(self) -> Generator[object, object, T]:
        """Go on to its end."""
        while self.paused:
            try:
                came = yield self._waits_for
            except BaseException as error:  # noqa: BLE001 - it is for the coroutine
                self.throw(error)
            else:
                self._go(self._what.send, came)
        return self.result

    def _go(self, way: Callable[..., object], value: object) -> None:
        self.paused = False
        try:
            self._waits_for = self._context.run(way, value)
            self.paused = True
        except StopIteration as ended:
            self._result = ended.value
