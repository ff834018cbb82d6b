"""Named points at which a worker process of a test can be made to die, each a border of a script or inside a step.

A point is armed by a file; the process that removes it is the one that dies there, so it happens once, whoever comes
first. The points are reached by wrapping, in the process of a test, what a worker calls: the library knows none of
them.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

from broker_wf.broker import claims, connection
from broker_wf.broker.packing import unpack
from broker_wf.broker.script import Script
from broker_wf.engine import ending
from broker_wf.worker import worker
from tests.apps import loads

ANY_RUN = ("sweep", "audit", "heartbeat", "register")
"""Scripts that no run calls: their points bear no run."""
executing: ContextVar[str] = ContextVar("executing")


def arm(directory: Path, point: str, run: str = "", skipped: int = 0) -> None:
    """Let whoever comes to a point die there, after so many times at which it is survived."""
    directory.mkdir(exist_ok=True)
    for left in range(skipped + 1):
        (directory / f"{point},{run},{left}").touch()


def armed(directory: Path) -> list[str]:
    """Points nobody has died at yet."""
    return sorted(one.name for one in directory.iterdir() if one.name.endswith(",0"))


class Points:
    """The points of one process.

    Args:
        died: told the point, before the end.
    """

    def __init__(self, directory: Path, died: Callable[[str], None]) -> None:
        self._directory, self._died = directory, died

    def install(self) -> None:
        """Wrap what a worker calls; for the whole life of this process."""
        self._execute, self._call = worker.execute, connection.Pipe.call_again
        self._call_together, self._ahead = connection.Pipe.call_together, ending.execute_ahead
        self._call_late, self._came = connection.Pipe.call_late, claims.ClaimStore.came
        worker.execute, ending.execute_ahead = self._execute_here, self._execute_ahead_here
        connection.Pipe.call_again = lambda pipe, script, *values: self._call_here(pipe, script, *values)
        connection.Pipe.call_late = lambda pipe, script, *values: self._call_late_here(pipe, script, *values)
        claims.ClaimStore.came = lambda store, asking, reply: self._came_here(store, asking, reply)
        connection.Pipe.call_together = lambda pipe, script, head, part: self._call_with_others(
            pipe, script, head, part
        )
        loads.at[0] = lambda point: self.reach(point, executing.get())

    def reach(self, point: str, run: str = "") -> None:
        """Die, if this is the point for it."""
        waiting = sorted(self._directory.glob(f"{point},{run},*"))
        for one in reversed(waiting):
            try:
                one.unlink()
            except FileNotFoundError:
                continue
            if one.name.endswith(",0"):
                self._died(f"{point},{run}")
                os._exit(9)
            return

    async def _execute_here(self, program: Any, site: Any, delivery: Any, *rest: Any) -> Any:
        executing.set(delivery.run_id)
        self.reach("leased", delivery.run_id)
        return await self._execute(program, site, delivery, *rest)

    async def _execute_ahead_here(self, program: Any, site: Any, delivery: Any, *rest: Any) -> Any:
        executing.set(delivery.run_id)
        return await self._ahead(program, site, delivery, *rest)

    def _call_here(self, pipe: Any, script: Script, values: Any, again: Any) -> Awaitable[object]:
        run = "" if script.name in ANY_RUN else _text(values[0])
        self.reach(f"before {script.name}", run)
        return self._reaches(self._call(pipe, script, values, again), script, lambda _: [run])

    def _call_late_here(self, pipe: Any, script: Script, values: Any, again: Any) -> Awaitable[object]:
        """A claim: the runs are those of what it hands out."""
        return self._reaches(
            self._call_late(pipe, script, values, again),
            script,
            _runs_of,
        )

    def _came_here(self, store: Any, asking: Any, reply: Any) -> Any:
        """One that has gone along with a blocked read."""
        for run in dict.fromkeys(_runs_of(reply)):
            self.reach("after claim", run)
        return self._came(store, asking, reply)

    def _reaches(self, reply: Any, script: Script, runs: Callable[[Any], list[str]]) -> Awaitable[object]:
        def came(done: Any) -> None:
            if done.cancelled() or done.exception() is not None:
                return
            for run in dict.fromkeys(runs(done.result())):
                self.reach(f"after {script.name}", run)

        reply.add_done_callback(came)
        return reply

    def _call_with_others(self, pipe: Any, script: Script, head: Any, part: Any) -> Awaitable[object]:
        """A commit, for whoever asks: that it is sent with others makes no other point."""
        self.reach("before commit", head[0])
        reply: Any = self._call_together(pipe, script, head, part)
        reply.add_done_callback(
            lambda done: done.cancelled() or done.exception() or self.reach("after commit", head[0])
        )
        return reply


def _runs_of(reply: Any) -> list[str]:
    handed = cast(Any, unpack(reply) if isinstance(reply, bytes) else reply)[0]
    return [_text(one[b"r"]) for one in handed]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
