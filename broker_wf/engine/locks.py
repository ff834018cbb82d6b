"""Who of one worker waits for the lock of a run: one of them asks the server, and hands the lock on to the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from broker_wf.core.ids import RunId

State = dict[str, bytes]
Ask = Mapping[str, str]


@dataclass(slots=True, eq=False)
class Waiter:
    """One that waits in this process.

    Attributes:
        ask: as the scripts read it.
        turn: the state, if the lock has been handed on to it; None: it is to ask the server.
    """

    ask: Ask
    turn: asyncio.Future[State | None]


@dataclass(slots=True)
class _Line:
    """Of one run. ``active`` are those who hold the lock, ask the server for it, or were told to."""

    active: int = 0
    waiting: deque[Waiter] = field(default_factory=deque[Waiter])


@dataclass(slots=True)
class LockLines:
    """The lines of all runs.

    What the server knows of the lock is what counts: a line only saves asking for it. Whoever is active passes on what
    it was given, to the first of those who wait or to nobody, in whatever way it ends.
    """

    _lines: dict[RunId, _Line] = field(default_factory=dict[RunId, _Line])

    def enter(self, run_id: RunId, ask: Ask) -> Waiter | None:
        """Stand in line. None: nobody is before us, and we are active."""
        line = self._lines.setdefault(run_id, _Line())
        if line.active == 0:
            line.active = 1
            return None
        waiter = Waiter(ask, asyncio.get_running_loop().create_future())
        line.waiting.append(waiter)
        return waiter

    def leave(self, run_id: RunId, waiter: Waiter) -> bool:
        """Step out of line. False: it is our turn, or about to be."""
        line = self._lines.get(run_id)
        if line is None or waiter not in line.waiting:
            return False
        line.waiting.remove(waiter)
        return True

    def go_ahead(self, run_id: RunId, waiter: Waiter) -> None:
        """Let one ask the server though others are active, because that takes long; unless it is about to go on."""
        if self.leave(run_id, waiter):
            self._lines[run_id].active += 1
            waiter.turn.set_result(None)

    def first(self, run_id: RunId) -> Waiter | None:
        """Take the one out of line that is to be next; whoever calls this passes on to it."""
        waiting = self._lines[run_id].waiting
        return waiting.popleft() if waiting else None

    def pass_on(self, run_id: RunId, next_one: Waiter | None, state: State | None) -> None:
        """Be active no longer: the next one is."""
        if next_one is None:
            next_one = self.first(run_id)
            state = None
        if next_one is not None:
            next_one.turn.set_result(state)
            return
        line = self._lines[run_id]
        line.active -= 1
        if line.active == 0:
            del self._lines[run_id]
