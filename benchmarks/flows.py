"""The workflows that are measured: the same source for both engines, but for the import.

`BENCH_ENGINE=original` takes the classes from `workflows` (llama-index-workflows), else they come from `broker_wf`.
"""

import asyncio
import os
import time

if os.environ.get("BENCH_ENGINE") == "original":
    from workflows import Context, Workflow, step
    from workflows.events import Event, HumanResponseEvent, StartEvent, StopEvent
else:
    from broker_wf import Context, Workflow, step
    from broker_wf.events import Event, HumanResponseEvent, StartEvent, StopEvent


class Begin(StartEvent):
    n: int = 0
    text: str = "hello world"
    x: float = 1.5


class First(Event):
    n: int
    text: str
    x: float


class Second(Event):
    n: int
    text: str
    x: float


class Chain(Workflow):
    """W1: three steps that do nothing."""

    @step
    async def one(self, ev: Begin) -> First:
        return First(n=ev.n + 1, text=ev.text, x=ev.x)

    @step
    async def two(self, ev: First) -> Second:
        return Second(n=ev.n + 1, text=ev.text, x=ev.x)

    @step
    async def three(self, ev: Second) -> StopEvent:
        return StopEvent(result=ev.n + 1)


class Wide(StartEvent):
    count: int


class Item(Event):
    n: int


class Done(Event):
    n: int


class Fan(Workflow):
    """W2: many items and one join."""

    @step
    async def spread(self, ev: Wide) -> list[Item]:
        return [Item(n=n) for n in range(ev.count)]

    @step
    async def work(self, ev: Item) -> Done:
        return Done(n=ev.n)

    @step
    async def gather(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=len(ev))


class Wait(Event):
    n: int


class Waited(Event):
    n: int


class Patient(Workflow):
    """W3: items that wait 0.1 s, 50 at one time in all."""

    @step
    async def spread(self, ev: Wide) -> list[Wait]:
        return [Wait(n=n) for n in range(ev.count)]

    @step(num_workers=50)
    async def work(self, ev: Wait) -> Waited:
        await asyncio.sleep(0.1)
        return Waited(n=ev.n)

    @step
    async def gather(self, ev: list[Waited]) -> StopEvent:
        return StopEvent(result=len(ev))


class Tick(Event):
    n: int
    last: int


class Loop(Workflow):
    """W5: one run that goes through one step again and again."""

    @step
    async def begin(self, ev: Wide) -> Tick:
        return Tick(n=0, last=ev.count)

    @step
    async def turn(self, ev: Tick) -> Tick | StopEvent:
        return StopEvent(result=ev.n) if ev.n >= ev.last else Tick(n=ev.n + 1, last=ev.last)


class Add(Event):
    times: int


class Added(Event):
    times: int


class Edits(Workflow):
    """W6: a number that 100 steps at one time count up, ten times each."""

    @step
    async def spread(self, ctx: Context, ev: Wide) -> list[Add]:
        await ctx.store.set("total", 0)
        return [Add(times=ev.count // 100) for _ in range(100)]

    @step(num_workers=100)
    async def add(self, ctx: Context, ev: Add) -> Added:
        for _ in range(ev.times):
            async with ctx.store.edit_state() as state:
                state["total"] = state["total"] + 1
        return Added(times=ev.times)

    @step
    async def gather(self, ctx: Context, ev: list[Added]) -> StopEvent:
        return StopEvent(result=await ctx.store.get("total"))


class Raise(Event):
    times: int


class Raised(Event):
    times: int


class Counts(Workflow):
    """W6 without a lock: the same number raised in one script each. The original has nothing of the kind."""

    @step
    async def spread(self, ctx: Context, ev: Wide) -> list[Raise]:
        await ctx.store.set("total", 0)
        return [Raise(times=ev.count // 100) for _ in range(100)]

    @step(num_workers=100)
    async def add(self, ctx: Context, ev: Raise) -> Raised:
        for _ in range(ev.times):
            await ctx.store.increment("total")
        return Raised(times=ev.times)

    @step
    async def gather(self, ctx: Context, ev: list[Raised]) -> StopEvent:
        return StopEvent(result=await ctx.store.get("total"))


class Cargo(StartEvent):
    data: bytes = b""


class Leg(Event):
    n: int
    data: bytes


class LastLeg(Event):
    n: int
    data: bytes


class Carry(Workflow):
    """W4: a chain of three that hands a large value on."""

    @step
    async def one(self, ev: Cargo) -> Leg:
        return Leg(n=1, data=ev.data)

    @step
    async def two(self, ev: Leg) -> LastLeg:
        return LastLeg(n=ev.n + 1, data=ev.data)

    @step
    async def three(self, ev: LastLeg) -> StopEvent:
        return StopEvent(result=len(ev.data))


class Piece(Event):
    n: int


class Collects(Workflow):
    """Many events gathered by `collect_events`."""

    @step
    async def spread(self, ctx: Context, ev: Wide) -> Piece | None:
        await ctx.store.set("count", ev.count)
        for n in range(ev.count):
            ctx.send_event(Piece(n=n))
        return None

    @step
    async def collect(self, ctx: Context, ev: Piece) -> StopEvent | None:
        found = ctx.collect_events(ev, [Piece] * await ctx.store.get("count"))
        return None if found is None else StopEvent(result=len(found))


class Answer(HumanResponseEvent):
    pass


class Parked(Workflow):
    """A run that waits for somebody."""

    @step
    async def ask(self, ctx: Context, ev: Begin) -> StopEvent:
        await ctx.wait_for_event(Answer)
        return StopEvent(result=ev.n)


class Burn(Event):
    n: int


class Burned(Event):
    n: int


class Heavy(Workflow):
    """Scale-out: items that take 5 ms of CPU each."""

    @step
    async def spread(self, ev: Wide) -> list[Burn]:
        return [Burn(n=n) for n in range(ev.count)]

    @step
    async def work(self, ev: Burn) -> Burned:
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            pass
        return Burned(n=ev.n)

    @step
    async def gather(self, ev: list[Burned]) -> StopEvent:
        return StopEvent(result=len(ev))


chain = Chain(timeout=120)
fan = Fan(timeout=120)
patient = Patient(timeout=120)
loop = Loop(timeout=120)
edits = Edits(timeout=120)
counts = Counts(timeout=120)
heavy = Heavy(timeout=120)
carry = Carry(timeout=120)
collects = Collects(timeout=300)
parked = Parked(timeout=900)
long = type("Long", (Fan,), {})(timeout=900)
"""As `fan`, with time for very many items."""
idle = [type(f"Idle{n}", (Chain,), {})(timeout=120) for n in range(17)]
"""51 steps of 17 workflows, for a worker that has nothing to do."""
crowd = [type(f"Crowd{n}", (Chain,), {})(timeout=120) for n in range(34)]
"""102 steps that others have beside the chain."""
