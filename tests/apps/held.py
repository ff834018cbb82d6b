"""Workflows whose steps wait until a test lets them go, or do everything a step can do by call.

Files in the run's directory are the gates: a step waits until the one it was given exists.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from tests.apps.faulty import note


class Watched(StartEvent):
    directory: str
    gates: list[str]


class Gate(Event):
    number: int
    path: str


class Passed(Event):
    number: int
    by: int


class Held(Workflow):
    """One delivery per gate; the result says which process passed which."""

    @step
    async def begin(self, ev: Watched) -> list[Gate]:
        return [Gate(number=n, path=f"{ev.directory}/{name}") for n, name in enumerate(ev.gates)]

    @step
    async def wait(self, ev: Gate) -> Passed:
        """``hard.…`` holds the event loop up, so that nothing comes between the gate and the commit.

        A gate may be opened for one process alone: ``<path>.<pid>``.
        """
        paths = [Path(ev.path), Path(f"{ev.path}.{os.getpid()}")]
        while not any(path.exists() for path in paths):
            if paths[0].name.startswith("hard."):
                time.sleep(0.01)
            else:
                await asyncio.sleep(0.01)
        return Passed(number=ev.number, by=os.getpid())

    @step
    async def join(self, evs: list[Passed]) -> StopEvent:
        return StopEvent(result={str(e.number): e.by for e in evs})


class Endless(StartEvent):
    ledger: str


class Lasting(Workflow):
    """Goes on until it is stopped, and writes down when that was."""

    @step
    async def last(self, ev: Endless) -> StopEvent:
        note(ev.ledger, "lasts")
        try:
            await asyncio.Event().wait()
        finally:
            note(ev.ledger, f"stopped {time.monotonic_ns() // 1_000_000}")
        return StopEvent()


class Amount(StartEvent):
    count: int
    pause_s: float = 0.0


class Piece(Event):
    number: int
    pause_s: float


class Told(Event):
    number: int


class Gathered(Event):
    number: int


class Everything(Workflow):
    """Sends by call, publishes, edits state, and gathers by ``collect_events``: each of ``count`` pieces once."""

    @step
    async def begin(self, ctx: Context, ev: Amount) -> Piece | None:
        await ctx.store.set("count", ev.count)
        for number in range(ev.count):
            ctx.send_event(Piece(number=number, pause_s=ev.pause_s))
        return None

    @step
    async def work(self, ctx: Context, ev: Piece) -> Gathered:
        ctx.write_event_to_stream(Told(number=ev.number))
        async with ctx.store.edit_state() as state:
            state.total = state.get("total", 0) + ev.number
        nth = await ctx.store.increment("begun")
        await ctx.store.append("order", nth)
        await asyncio.sleep(ev.pause_s)
        return Gathered(number=ev.number)

    @step
    async def collect(self, ctx: Context, ev: Gathered) -> StopEvent | None:
        count = await ctx.store.get("count")
        found = ctx.collect_events(ev, [Gathered] * count)
        if found is None:
            return None
        order, begun = await ctx.store.get("order"), await ctx.store.get("begun")
        assert sorted(order) == list(range(1, begun + 1)), "a change was made twice, or gave another result again"
        assert begun == count
        return StopEvent(result=[sorted(e.number for e in found), await ctx.store.get("total")])


class Halves(StartEvent):
    directory: str
    run: str


class Half(Event):
    path: str


class Pairs(Workflow):
    """Two deliveries that gather each other. A gate for each execution: ``<run>.<alone or both>.<pid>``."""

    @step
    async def begin(self, ctx: Context, ev: Halves) -> Half | None:
        for _ in range(2):
            ctx.send_event(Half(path=f"{ev.directory}/{ev.run}"))
        return None

    @step
    async def gather(self, ctx: Context, ev: Half) -> StopEvent | None:
        found = ctx.collect_events(ev, [Half] * 2)
        gate = Path(f"{ev.path}.{'alone' if found is None else 'both'}.{os.getpid()}")
        gate.with_suffix(f".{os.getpid()}.came").touch()
        while not gate.exists():  # noqa: ASYNC110 - another process opens it
            await asyncio.sleep(0.01)
        return None if found is None else StopEvent(result=os.getpid())


class Between(StartEvent):
    directory: str


async def pass_gate(directory: str, name: str) -> None:
    """Say that one has come, and wait until it is open."""
    path = Path(directory) / name
    path.with_suffix(".came").touch()
    while not path.exists():  # noqa: ASYNC110 - the test opens it
        await asyncio.sleep(0.01)


class Counting(Workflow):
    """One step that changes the state, and behind another gate publishes and changes more; told how it stands."""

    @step
    async def begin(self, ctx: Context, ev: Between) -> StopEvent:
        await pass_gate(ev.directory, "before")
        raised = await ctx.store.increment("raised")
        await pass_gate(ev.directory, "between")
        ctx.write_event_to_stream(Told(number=raised))
        async with ctx.store.edit_state() as state:
            state.edited = state.get("edited", 0) + 1
        await ctx.store.set("named", raised)
        await pass_gate(ev.directory, "after")
        return StopEvent(result=[await ctx.store.get(key, 0) for key in ("raised", "edited", "named")])


class Edited(Event):
    pass


class Editing(Workflow):
    """One step that changes the state under its lock, past the gate ``inside``; the next one says what is there."""

    @step
    async def edit(self, ctx: Context, ev: Between) -> Edited:
        await pass_gate(ev.directory, "before")
        async with ctx.store.edit_state() as state:
            state.edited = state.get("edited", 0) + 1
            await pass_gate(ev.directory, "inside")
        return Edited()

    @step
    async def tell(self, ctx: Context, ev: Edited) -> StopEvent:
        return StopEvent(result=await ctx.store.get("edited", 0))


class EditingAtOnce(Editing):
    """The same with effects that are held for the commit."""

    @step(atomic=True)
    async def edit(self, ctx: Context, ev: Between) -> Edited:
        return await super().edit(ctx, ev)


workflows = [
    Counting(timeout=120),
    Editing(timeout=120),
    EditingAtOnce(timeout=120),
    Held(timeout=120),
    Lasting(timeout=120),
    Everything(timeout=120),
    Pairs(timeout=120),
]
