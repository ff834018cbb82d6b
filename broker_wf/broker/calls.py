"""What a pipe has to send: one command that somebody waits for, or one that several share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from broker_wf.broker.clients import Argument
from broker_wf.broker.script import Script

Values = Callable[[], tuple[object, ...]]
Makes = Callable[[], tuple[Argument, ...]]
TOGETHER = 100
"""So many share one call at most: more would hold the server up for everybody else."""


@dataclass(slots=True)
class Call:
    """One command that waits for its reply. ``again`` is sent instead once the first reply may have been lost."""

    args: tuple[Argument, ...]
    again: tuple[Argument, ...]
    reply: asyncio.Future[object]
    script: Script | None
    sent: bool = False

    @classmethod
    def of(cls, args: tuple[Argument, ...], again: tuple[Argument, ...], script: Script | None) -> Call:
        """A call that waits in the running event loop."""
        return cls(args, again, asyncio.get_running_loop().create_future(), script)

    def command(self) -> tuple[Argument, ...]:
        """What is sent now."""
        return self.again if self.sent else self.args


@dataclass(slots=True)
class LateCall(Call):
    """One command that is made when it is sent, behind the others; likewise what is sent instead if it is repeated."""

    make: Makes = field(kw_only=True)
    make_again: Makes = field(kw_only=True)

    @classmethod
    def by(cls, make: Makes, make_again: Makes, script: Script) -> LateCall:
        """A call that waits in the running event loop."""
        reply: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        return cls((), (), reply, script, make=make, make_again=make_again)

    def command(self) -> tuple[Argument, ...]:
        """What is sent now."""
        if not self.sent:
            self.args = self.make()
        elif not self.again:
            self.again = self.make_again()
        return self.again if self.sent else self.args


@dataclass(slots=True)
class SharedCall(Call):
    """One command that does the same for several; its reply is a list with theirs."""

    parts: list[asyncio.Future[object]] = field(default_factory=list[asyncio.Future[object]])
    _more: list[Argument] = field(default_factory=list[Argument])

    @classmethod
    def by(cls, args: tuple[Argument, ...], script: Script) -> SharedCall:
        """A call that nobody shares yet; ``args`` is what all have in common."""
        made = cls(args, args, asyncio.get_running_loop().create_future(), script)
        made.reply.add_done_callback(made._share)
        return made

    def add(self, args: tuple[Argument, ...]) -> asyncio.Future[object]:
        """One more."""
        self._more += args
        part: asyncio.Future[object] = self.reply.get_loop().create_future()
        self.parts.append(part)
        return part

    def command(self) -> tuple[Argument, ...]:
        """What is sent now: nobody joins in any more."""
        if not self.sent:
            self.args = self.again = (*self.args, *self._more)
        return self.args

    def _share(self, reply: asyncio.Future[object]) -> None:
        """What came is for each of them."""
        error = None if reply.cancelled() else reply.exception()
        replies = [None] * len(self.parts) if reply.cancelled() or error else cast("list[object]", reply.result())
        for part, one in zip(self.parts, replies, strict=True):
            if part.done():
                continue
            if reply.cancelled():
                part.cancel()
            elif error is not None:
                part.set_exception(error)
            else:
                part.set_result(one)


def late_ones_last(calls: Sequence[Call]) -> list[Call]:
    """The calls in the order in which they are sent."""
    return sorted(calls, key=lambda call: isinstance(call, LateCall))


def unsettled(calls: Sequence[Call], replies: Sequence[object], settle: Callable[[Call, object], bool]) -> list[Call]:
    """What has to be sent again: what a reply has not settled, and late calls behind it.

    What those have found is only true once all is done that was asked for before them.
    """
    again = list[Call]()
    for call, reply in zip(calls, replies, strict=True):
        if (again and isinstance(call, LateCall)) or not settle(call, reply):
            again.append(call)
    return again
