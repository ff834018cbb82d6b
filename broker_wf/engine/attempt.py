"""One delivery: decode, call, plan, commit. A straight line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from broker_wf.broker.deliveries import Ended, Offer
from broker_wf.broker.plans import Planned
from broker_wf.context.context import Context, InStep, current_step
from broker_wf.context.state_store import DictState
from broker_wf.core.commit import StepCommit, plan_commit
from broker_wf.core.delivery import Delivery
from broker_wf.core.outcome import Outcome, Raised, Returned, Undecided, Waiting
from broker_wf.core.spec import StepSpec
from broker_wf.engine.children import Children, current_children
from broker_wf.engine.effects import Effects
from broker_wf.engine.failing import Failing, failed, unreadable
from broker_wf.engine.intake import arguments_of
from broker_wf.engine.invocation import Call, invoke
from broker_wf.engine.program import Program
from broker_wf.engine.site import Site
from broker_wf.engine.step_context import StepContext
from broker_wf.engine.tracing import StepTrace
from broker_wf.engine.verbose import Voice, speaking
from broker_wf.errors import DecodeError, EncodeError, LimitExceededError
from broker_wf.events import Event, InputRequiredEvent
from broker_wf.wire.blobs import NOTHING_FETCHED

log = logging.getLogger("broker_wf.step")


async def execute(
    program: Program, site: Site, delivery: Delivery, elapsed_ms: Callable[[], int], sent: Callable[[], None]
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
    given = _given(arguments)
    with speaking(delivery, delivery.event if given is None else type(given).__name__) as voice:
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
    sent: Callable[[], None]
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
    context = await _context(started.program, started.site, delivery)
    outcome = await _called(started.program, started.site, started.step, context, started.arguments)
    if isinstance(outcome, Waiting):
        return started.say(outcome, await _suspended(context, started.sent))
    if not isinstance(outcome, Undecided):
        if started.voice is not None:
            started.voice.ending(outcome)
        ended = await _end(started.program, context, outcome, started.elapsed_ms, started.sent)
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


async def _context(program: Program, site: Site, delivery: Delivery) -> StepContext:
    atomic = program.spec.steps[delivery.step].atomic
    effects = Effects(site=site, delivery=delivery, codec=program.codec.at(delivery.run_id), held=atomic)
    blobs = NOTHING_FETCHED
    if delivery.buffers:
        collected = (payload for one in delivery.buffers.values() for payload in one.payloads)
        blobs = await site.broker.blobs.fetch(delivery.run_id, collected)
    return StepContext(
        program=program, site=site, delivery=delivery, buffers=delivery.buffers, blobs=blobs, effects=effects
    )


async def _called(
    program: Program, site: Site, step: StepSpec, context: StepContext, arguments: dict[str, object]
) -> Outcome:
    made: Context[DictState] = Context.of(InStep(context))
    children = Children(site=site, delivery=context.delivery, step=step)
    token, childs_token = current_step.set(made), current_children.set(children)
    try:
        outcome = await invoke(
            Call(
                step=step,
                events=arguments,
                context=made,
                resources=program.resources,
                threads=site.threads,
                stuck=partial(site.stuck, context.delivery),
                trace=StepTrace(
                    run_id=context.delivery.run_id, given=_given(arguments), carried=context.delivery.trace
                ),
            )
        )
    finally:
        current_step.reset(token)
        current_children.reset(childs_token)
        if context.told is not None:
            context.told.stop()
    if context.told is not None:
        context.told.flush()
    await children.close()
    return outcome


def _given(arguments: dict[str, object]) -> Event | None:
    """The event a step is called with, of several the first; None for a list."""
    first = next(iter(arguments.values()), None)
    return first if isinstance(first, Event) else None


async def _end(
    program: Program,
    context: StepContext,
    outcome: Returned | Raised,
    elapsed_ms: Callable[[], int],
    sent: Callable[[], None],
) -> Ended:
    free, held = await context.effects.settle()
    if isinstance(outcome, Returned):
        commit = plan_commit(program.router, context.delivery, outcome, tuple(context.decisions))
        try:
            return await _commit(program, context, commit, [*free, *held], sent)
        except (EncodeError, LimitExceededError) as error:
            outcome = Raised(error=error)
    acked = context.effects.acked
    failing = Failing(
        program=program, site=context.site, delivery=context.delivery, sent=sent, effects=free, acked=acked
    )
    return await failed(failing, outcome, elapsed_ms())


async def _commit(
    program: Program, context: StepContext, commit: StepCommit, effects: list[Planned], sent: Callable[[], None]
) -> Ended:
    _tell_unhandled(program, commit)
    store, busy = context.site.broker.deliveries, context.site.is_busy()
    offer = _offer(program, context.site, commit)
    # What is kept takes the slot of what was done: nothing is free before the reply says so.
    sent = sent if offer is None else _nothing
    acked, codec = context.effects.acked, context.effects.codec
    return await store.commit(commit, effects, codec, acked, busy=busy, sent=sent, offer=offer)


def _offer(program: Program, site: Site, commit: StepCommit) -> Offer | None:
    step, delivery = commit.follower(program.spec), commit.delivery
    fence = None if step is None else site.keep(delivery)
    if step is None or fence is None:
        return None
    lease_ms = site.settings.lease_ms
    return Offer(
        worker=site.worker, fence=fence, lease_ms=lease_ms, step=step, kept=lambda one: site.kept(delivery, one)
    )


def _nothing() -> None:
    pass


def _tell_unhandled(program: Program, commit: StepCommit) -> None:
    for emission in commit.emissions:
        if emission.route.is_empty and not isinstance(emission.event, InputRequiredEvent):
            log.warning(
                "step %s of run %s gave %s, which no step of %s takes",
                commit.delivery.step,
                commit.delivery.run_id,
                emission.route.name,
                program.spec.name,
            )
