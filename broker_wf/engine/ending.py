"""The end of an attempt: its commit, with what was executed ahead of it, or its failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from broker_wf.broker.deliveries import Ended, Link, Offer
from broker_wf.broker.plans import Planned, commit_map
from broker_wf.core.commit import StepCommit, plan_commit
from broker_wf.core.delivery import Delivery
from broker_wf.core.eager import Eager
from broker_wf.core.ids import Fence, StepName
from broker_wf.core.outcome import Raised, Returned
from broker_wf.engine.ahead import Ahead, Chain, go_ahead
from broker_wf.engine.calling import context_of, execute_ahead
from broker_wf.engine.failing import Failing, failed
from broker_wf.engine.program import Program
from broker_wf.engine.site import Leaving
from broker_wf.engine.step_context import StepContext
from broker_wf.errors import EncodeError, LimitExceededError
from broker_wf.events import InputRequiredEvent

log = logging.getLogger("broker_wf.step")


@dataclass(frozen=TYPE_CHECKING, slots=True)
class Executed:
    """An execution that has come to its end, and nobody knows of it yet.

    Attributes:
        elapsed_ms: since the first attempt of the delivery began.
        beyond: what was executed ahead of it, each from the one before.
    """

    context: StepContext
    outcome: Returned | Raised
    elapsed_ms: Callable[[], int]
    beyond: Sequence[Ahead] = ()


async def end(program: Program, executed: Executed, sent: Leaving) -> Ended | Delivery:
    """Commit it, or let it fail; likewise what the worker went on with by that and had executed already.

    Args:
        sent: called when the end is on its way and not yet answered.

    Returns:
        What became of it; or what the worker went on with and has to execute from its beginning.
    """
    while True:
        context, outcome = executed.context, executed.outcome
        free, held = await context.effects.settle()
        if isinstance(outcome, Returned):
            try:
                ended = await _committed(program, executed, outcome, [*free, *held], sent)
            except (EncodeError, LimitExceededError) as error:
                outcome = Raised(error=error)
            else:
                if not isinstance(ended, Executed):
                    return ended
                executed = ended
                continue
        failing = Failing(
            program=program,
            site=context.site,
            delivery=context.delivery,
            sent=sent,
            effects=free,
            acked=context.effects.acked,
        )
        return await failed(failing, outcome, executed.elapsed_ms())


async def _committed(
    program: Program, executed: Executed, returned: Returned, effects: list[Planned], sent: Leaving
) -> Ended | Executed | Delivery:
    """The end of it; or what the worker went on with: what came of it, or the delivery, if that is to be found yet."""
    context = executed.context
    commit = plan_commit(program.router, context.delivery, returned, tuple(context.decisions))
    link = Link(commit, commit_map(commit, effects, context.effects.codec))
    _tell_unhandled(program, commit)
    if executed.beyond:
        return await _with_last(context, link, effects, Chain(), executed.beyond)
    chain = go_ahead(program, context.site, link, execute_ahead)
    for one in chain.links:
        _tell_unhandled(program, one.commit)
    if chain.last is not None:
        return await _with_last(context, link, effects, chain, [chain.last])
    offer = _offer(context, chain.following)
    last = chain.links[-1] if chain.links else link
    leaves = sent if last.commit.stop is None else partial(sent, hands_on=False)
    # What is kept takes the slot of what was done: nothing is free before the reply says so.
    ended = await _commit(context, link, effects, chain, offer, leaves if offer is None else _nothing)
    if ended is Ended.SINGLY:
        return await _with_last(context, link, effects, Chain(), chain.executed)
    return ended


async def _with_last(
    context: StepContext,
    link: Link,
    effects: Sequence[Planned],
    chain: Chain,
    ahead: Sequence[Ahead],
) -> Ended | Executed | Delivery:
    """Commit up to a delivery that was executed or begun ahead, and go on with it if it is ours by that.

    Args:
        ahead: that one, and what was executed ahead of it.

    Returns:
        A delivery that has used its Context once it was leased, and has to be executed from its beginning.
    """
    adoption, (last, *beyond) = _Adoption(context), ahead
    following = last.delivery.step, last.delivery.fence
    committing = _commit(context, link, effects, chain, _offer(context, following, adoption), _nothing)
    try:
        ended = await _answered(asyncio.ensure_future(committing), last)
    except BaseException:
        adoption.decline()
        await _stop(ahead)
        raise
    if ended is Ended.SINGLY:
        return await _with_last(context, link, effects, Chain(), [*chain.executed, *ahead])
    if adoption.given is None:
        await _stop(ahead)
        return ended
    context.site.went_on(context.delivery, adoption.given)
    gone_on, elapsed_ms = await context_of(context.program, context.site, adoption.given), stopwatch()
    last.lent.context = gone_on
    outcome = await last.outcome if isinstance(last.outcome, Eager) else last.outcome
    if isinstance(outcome, Returned | Raised):
        return Executed(gone_on, outcome, elapsed_ms, beyond)
    await gone_on.drop()
    return adoption.given


async def _answered(committing: asyncio.Future[Ended], last: Ahead) -> Ended:
    """Wait for the reply. What cancels this task meanwhile, as a time-out of the step, is for the step, if it waits."""
    committing.add_done_callback(_unheard)
    while not committing.done():
        try:
            await asyncio.wait([committing])
        except asyncio.CancelledError as error:
            if not isinstance(last.outcome, Eager) or not last.outcome.paused:
                raise
            last.outcome.throw(error)
    return committing.result()


def _unheard(committing: asyncio.Future[Ended]) -> None:
    """Nobody may wait for it any more."""
    with suppress(asyncio.CancelledError):
        committing.exception()


@dataclass(slots=True)
class _Adoption:
    """Hears of the lease of what was executed or begun ahead."""

    context: StepContext
    given: Delivery | None = None
    _declined: bool = False

    def hear(self, ours: Delivery) -> None:
        """It is ours."""
        if self._declined:
            self.context.site.kept(self.context.delivery, ours)
        else:
            self.given = ours

    def decline(self) -> None:
        """Whoever wanted it was cancelled: it is executed anew, or handed back, as the worker has it."""
        self._declined = True
        if self.given is not None:
            self.hear(self.given)


async def _stop(ahead: Sequence[Ahead]) -> None:
    for one in ahead:
        if isinstance(one.outcome, Eager):
            await one.outcome.stop()


def stopwatch() -> Callable[[], int]:
    """Tells how many milliseconds ago it was made."""
    now = asyncio.get_running_loop().time
    began = now()
    return lambda: round((now() - began) * 1000)


async def _commit(
    context: StepContext,
    link: Link,
    effects: Sequence[Planned],
    chain: Chain,
    offer: Offer | None,
    sent: Callable[[], None],
) -> Ended:
    site = context.site
    ended = await site.broker.deliveries.commit(
        link, effects, context.effects.acked, busy=site.is_busy(), sent=sent, offer=offer, links=chain.links
    )
    if ended is Ended.DONE and chain.links:
        site.followed(len(chain.links))
    return ended


def _offer(
    context: StepContext, following: tuple[StepName, Fence] | None, adoption: _Adoption | None = None
) -> Offer | None:
    if following is None:
        return None
    site, delivery, (step, fence) = context.site, context.delivery, following
    return Offer(
        worker=site.worker,
        fence=fence,
        lease_ms=site.settings.lease_ms,
        step=step,
        kept=adoption.hear if adoption else lambda one: site.kept(delivery, one),
        begun=adoption is not None,
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
