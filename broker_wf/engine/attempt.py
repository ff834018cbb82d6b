"""One delivery: decode, call, plan, commit. A straight line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker_wf.broker.deliveries import Ended
from broker_wf.core.delivery import Delivery
from broker_wf.core.outcome import Outcome, Undecided, Waiting
from broker_wf.core.spec import StepSpec
from broker_wf.engine.calling import called, context_of, given
from broker_wf.engine.ending import Executed, end, stopwatch
from broker_wf.engine.failing import Failing, unreadable
from broker_wf.engine.intake import arguments_of
from broker_wf.engine.program import Program
from broker_wf.engine.site import Leaving, Site
from broker_wf.engine.step_context import StepContext
from broker_wf.engine.verbose import Voice, speaking
from broker_wf.errors import DecodeError


async def execute(
    program: Program, site: Site, delivery: Delivery, elapsed_ms: Callable[[], int], sent: Leaving
) -> Ended:
    """Execute a delivery to its commit.

    Args:
        elapsed_ms: since the first attempt of the delivery began.
        sent: called when the attempt's end is on its way and not yet answered.

    Raises:
        asyncio.CancelledError: nothing was committed.
    """
    step = program.spec.steps[delivery.step]
    try:
        arguments = await arguments_of(program, site, step, delivery)
    except DecodeError as error:
        return await unreadable(Failing(program=program, site=site, delivery=delivery, sent=sent), error, elapsed_ms())
    started = _Start(program=program, site=site, step=step, arguments=arguments, elapsed_ms=elapsed_ms, sent=sent)
    if not program.verbose:
        return await _executed(started, delivery)
    event = given(arguments)
    with speaking(delivery, delivery.event if event is None else type(event).__name__) as voice:
        return await _executed(replace(started, voice=voice), delivery)


async def _executed(started: _Start, delivery: Delivery) -> Ended:
    site = started.site
    ended = await _tried(started, delivery)
    if isinstance(ended, Ended):
        return ended
    async with site.turns.of(delivery.run_id, delivery.step):
        while not isinstance(ended, Ended):
            buffers = await site.broker.deliveries.snapshot(delivery, ended.needed)
            ended = await _tried(started, replace(delivery, buffers=buffers))
    return ended


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class _Start:
    """What each execution of a delivery has in common."""

    program: Program
    site: Site
    step: StepSpec
    arguments: dict[str, object]
    elapsed_ms: Callable[[], int]
    sent: Leaving
    voice: Voice | None = None

    def say(self, outcome: Outcome, ended: Ended) -> Ended:
        """Tell what came of it, if somebody wants to know."""
        if self.voice is not None and ended in (Ended.DONE, Ended.WAITING):
            self.voice.ended(outcome)
        return ended


@dataclass(frozen=True, slots=True)
class _Stale:
    """``collect_events`` decided wrongly, or not at all for want of events; or what was done by call is lost."""

    needed: Undecided | None


async def _tried(started: _Start, delivery: Delivery) -> Ended | _Stale:
    context = await context_of(started.program, started.site, delivery)
    outcome = await called(started.program, started.site, started.step, context, started.arguments)
    if isinstance(outcome, Waiting):
        return started.say(outcome, await _suspended(context, started.sent))
    if not isinstance(outcome, Undecided):
        if started.voice is not None:
            started.voice.ending(outcome)
        ended = await end(started.program, Executed(context, outcome, started.elapsed_ms), started.sent)
        if isinstance(ended, Delivery):
            return await execute(started.program, started.site, ended, stopwatch(), started.sent)
        if ended not in (Ended.STALE_BUFFER, Ended.FORGOTTEN):
            return started.say(outcome, ended)
    await context.drop()
    return _Stale(outcome if isinstance(outcome, Undecided) else None)


async def _suspended(context: StepContext, sent: Callable[[], None]) -> Ended:
    """Park the delivery. What is held for a commit is dropped: the step makes it again when it starts again."""
    free, _ = await context.effects.settle()
    site, waits = context.site, [wait for _, wait in context.waits.open.values()]
    while True:
        found = await site.broker.waits.suspend(context.delivery, waits, free, busy=site.is_busy(), sent=sent)
        if isinstance(found, Ended):
            break
        await context.waits.look_at(found)
    for wait in waits:
        if wait.timeout_ms is not None and wait.timeout_ms <= _SHORT_WAIT_MS:
            site.timer_set(wait.timeout_ms)
    return Ended.WAITING if found is Ended.DONE else found


_SHORT_WAIT_MS = 10_000
"""Waits that take no longer time out to the millisecond, others at the next sweep."""
