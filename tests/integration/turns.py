"""A workflow whose steps are quick, and a worker that knows it: what they hand on is executed ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import redis

from broker_wf import Workflow, step
from broker_wf.engine import ahead, pace
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.integration.probe import probe
from tests.integration.stage import Stage, within


class Turn(Event):
    key: str
    n: int
    last: int
    at: int
    what: str


acts: dict[str, Callable[[], None]] = {}
"""What a step does besides, by what a run is told."""


class Turns(Workflow):
    """Goes through one step again and again, and does something special at one turn."""

    @step
    async def begin(self, ev: StartEvent) -> Turn:
        return Turn(key=ev.key, n=0, last=ev.get("last", 5), at=ev.get("at", -1), what=ev.get("what", ""))

    @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(2)))
    async def turn(self, ev: Turn) -> Turn | StopEvent:
        probe.mark(ev.key, f"turn {ev.n}")
        if ev.n == ev.at:
            await self.special(ev)
        if ev.n == ev.last:
            return StopEvent(result=ev.n)
        return Turn(key=ev.key, n=ev.n + 1, last=ev.last, at=ev.at, what=ev.what)

    async def special(self, ev: Turn) -> None:
        if ev.what in acts:
            acts[ev.what]()
        if ev.what == "raise" and probe.count(ev.key, f"turn {ev.n}") == 1:
            raise ValueError("once")
        if ev.what.startswith("raise for good"):
            raise ValueError("for good")
        if ev.what.startswith("wait"):
            try:
                await asyncio.sleep(30 if "long" in ev.what else 0.05)
            except asyncio.CancelledError:
                probe.mark(ev.key, "cancelled")
                raise


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """How busy the machine is does not decide what is quick, and how long a commit is held back."""
    monkeypatch.setattr(pace, "_QUICK_S", 60.0)
    monkeypatch.setattr(ahead, "_LONGEST_S", 60.0)


def calls(stage: Stage) -> int:
    with redis.Redis.from_url(stage.url) as client:
        return int(client.info("commandstats")["cmdstat_fcall"]["calls"])


async def warm(stage: Stage, flow: type[Workflow] = Turns, **fields: object) -> Workflow:
    """One worker that knows the steps to be quick."""
    stage.change(heartbeat_ms=60_000, sweep_ms=60_000)
    await stage.add_worker(flow)
    made = stage.flow(flow)
    for _ in range(3):
        assert await within(made.run(key=stage.settings.namespace + "warm", **fields)) == 5
    return made


async def attempted(stage: Stage, **fields: object) -> tuple[str, object]:
    """A run of a warm worker, and the key of its marks."""
    flow, key = await warm(stage), stage.settings.namespace
    return key, await within(flow.run(key=key, **fields))


def once_each(key: str, last: int) -> bool:
    return [one for one in probe.marks(key) if one.startswith("turn")] == [f"turn {n}" for n in range(last + 1)]
