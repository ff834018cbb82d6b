"""One stream of what changes in a namespace, for pages that show it: asked once, told to all who follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from broker_wf.core.clock import Clock, SystemClock
from broker_wf.errors import BrokerError
from broker_wf.inspector import Inspector
from broker_wf.inspector.views import RunSummary, StatusView
from broker_wf.server.api.endpoint import Call, as_json
from broker_wf.server.api.host import Host
from broker_wf.server.sse import HEARTBEAT, LiveResponse

_LOOK_EVERY_MS = 500
_QUIET_S = 15.0
_NEWEST = 200
_BEHIND = 8


@dataclass(slots=True)
class Changes:
    """Looks at the newest runs and at the load while somebody follows.

    A follower that is too slow to read loses what it has not read, and is told to look for itself.
    """

    host: Host
    clock: Clock = field(default_factory=SystemClock)
    _followers: set[asyncio.Queue[bytes]] = field(default_factory=set["asyncio.Queue[bytes]"])
    _looking: asyncio.Task[None] | None = None
    _known: dict[str, RunSummary] | None = None
    _status: StatusView | None = None

    async def stream(self, call: Call) -> LiveResponse:
        """``GET /stream``."""
        return LiveResponse(
            self._follow(),
            media_type="text/event-stream",
            draining=self.host.draining,
            quiet=HEARTBEAT,
            quiet_s=_QUIET_S,
        )

    async def _follow(self) -> AsyncGenerator[bytes, None]:
        mine: asyncio.Queue[bytes] = asyncio.Queue(_BEHIND)
        self._followers.add(mine)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look_for_ever())
        try:
            yield b"retry: 1000\n\n"
            if self._status is not None:
                yield _lines("status", self._status)
            while True:
                yield await mine.get()
        finally:
            self._followers.discard(mine)
            if not self._followers:
                self._rest()

    def _rest(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._looking, self._status, self._known = None, None, None

    async def _look_for_ever(self) -> None:
        while True:
            try:
                await self._look(Inspector((await self.host.home()).broker))
            except BrokerError as error:
                self._tell(_lines("trouble", {"detail": str(error)}))
            await self.clock.sleep_ms(_LOOK_EVERY_MS)

    async def _look(self, inspector: Inspector) -> None:
        status, newest = await asyncio.gather(inspector.status(), inspector.runs(limit=_NEWEST))
        if status != self._status:
            self._status = status
            self._tell(_lines("status", status))
        before, self._known = self._known, {run.run_id: run for run in newest}
        if before is None:
            return
        changed = [run for run in newest if before.get(run.run_id) != run]
        if len(changed) == _NEWEST:
            self._tell(_lines("look", {}))
        elif changed:
            self._tell(_lines("runs", changed))

    def _tell(self, lines: bytes) -> None:
        for follower in self._followers:
            if follower.full():
                while not follower.empty():
                    follower.get_nowait()
                follower.put_nowait(_lines("look", {}))
            follower.put_nowait(lines)


def _lines(name: str, value: object) -> bytes:
    return f"event: {name}\n".encode() + b"data: " + as_json(value) + b"\n\n"
