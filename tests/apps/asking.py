"""A workflow for the fault tests that asks many people two questions each. The ledger says what was done for it."""

from __future__ import annotations

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from tests.apps.faulty import note


class Poll(StartEvent):
    count: int
    ledger: str
    timeout: float | None = None


class Member(Event):
    number: int
    ledger: str
    timeout: float | None


class Asked(InputRequiredEvent):
    number: int
    question: int


class Opinion(HumanResponseEvent):
    number: int
    text: str


class Polled(Event):
    number: int
    texts: list[str]


class Survey(Workflow):
    """The same requirements twice: the order of the calls tells the two waits of a member apart."""

    @step
    async def begin(self, ev: Poll) -> list[Member]:
        return [Member(number=n, ledger=ev.ledger, timeout=ev.timeout) for n in range(ev.count)]

    @step
    async def ask(self, ctx: Context, ev: Member) -> Polled:
        await ctx.once("prepare", note, ev.ledger, f"prepared {ev.number}")
        texts: list[str] = []
        for question in range(2):
            opinion = await ctx.wait_for_event(
                Opinion,
                waiter_event=Asked(number=ev.number, question=question),
                requirements={"number": ev.number},
                timeout=ev.timeout,
            )
            await ctx.once(f"noted {question}", note, ev.ledger, f"heard {ev.number} {opinion.text}")
            texts.append(opinion.text)
        return Polled(number=ev.number, texts=texts)

    @step
    async def join(self, evs: list[Polled]) -> StopEvent:
        return StopEvent(result=sorted([one.number, *one.texts] for one in evs))


workflows = [Survey]
