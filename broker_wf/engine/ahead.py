"""What follows alone from a step is executed in the same breath, and one script commits them all.

A delivery that comes to this worker in any case is leased by the commit of the one before. Where its step is known to
be quick it is executed before that commit is sent: up to its end, and then it is a link of the commit, or to where it
waits for something; then the commit is sent at once, and it goes on under the lease that it got by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from broker_wf.broker.deliveries import STAGED_PART, Link
from broker_wf.broker.plans import commit_map
from broker_wf.core.commit import plan_commit
from broker_wf.core.delivery import Delivery
from broker_wf.core.eager import Eager
from broker_wf.core.ids import Fence, StepName
from broker_wf.core.outcome import Outcome, Returned
from broker_wf.engine.calling import LeaseNeeded, Lent
from broker_wf.engine.program import Program
from broker_wf.engine.site import Site
from broker_wf.errors import DecodeError, EncodeError, LimitExceededError

Execution = Callable[[Program, Site, Delivery, Lent], Coroutine[object, object, Outcome]]
"""As ``execute_ahead``."""

_LONGEST_CHAIN = 16
"""So many links at most are in one commit."""
_LONGEST_S = 0.002
"""A commit is held back no longer than this for further links, beyond the time that the last one takes."""


@dataclass(frozen=TYPE_CHECKING, slots=True)
class Ahead:
    """A delivery that was executed, or begun, before its worker has a lease for it."""

    delivery: Delivery
    outcome: Outcome | Eager[Outcome]
    lent: Lent


@dataclass(slots=True)
class Chain:
    """What was executed in one go.

    Attributes:
        links: what has come to its end, one from the other.
        executed: the same, each with its outcome.
        last: what follows from them and is no link: it waits, has failed, or cannot be committed before it is leased.
        following: step and fence of what follows from them and was not begun.
    """

    links: list[Link] = field(default_factory=list[Link])
    executed: list[Ahead] = field(default_factory=list[Ahead])
    last: Ahead | None = None
    following: tuple[StepName, Fence] | None = None


_NOTHING = Chain()


def go_ahead(program: Program, site: Site, first: Link, execute: Execution) -> Chain:
    """Execute what follows from the commit of a leased delivery, which is not sent yet."""
    if first.commit.follower(program.spec) is None:
        return _NOTHING
    chain, link, now = Chain(), first, asyncio.get_running_loop().time
    held, until = first.commit.delivery, 0.0 if program.verbose else now() + _LONGEST_S
    while True:
        step = link.commit.follower(program.spec)
        fence = None if step is None else site.keep(held, link.commit.delivery.kept)
        if step is None or fence is None:
            return chain
        chain.following = step, fence
        is_long = len(chain.links) == _LONGEST_CHAIN or now() > until
        if is_long or not _may_lead(link, held) or not program.pace.is_quick(program.spec.steps[step]):
            return chain
        (emitted,) = cast("list[tuple[object, object, bytes]]", link.planned.plan["emits"])
        ahead = _executed(program, site, link.commit.following(step, fence, emitted[2]), execute)
        if ahead is None:
            return chain
        chain.following = None
        next_link = _link(program, ahead)
        if next_link is None:
            chain.last = ahead
            return chain
        chain.links.append(next_link)
        chain.executed.append(ahead)
        link = next_link


def _may_lead(link: Link, held: Delivery) -> bool:
    """Whether links may follow: for nothing but a lost lease can it be refused, and the delivery has killed nobody."""
    plan = link.planned.plan
    is_bare = not (plan["effects"] or plan["decisions"] or link.planned.blobs or link.commit.asked)
    return is_bare and held.crashes == 0


def _executed(program: Program, site: Site, delivery: Delivery, execute: Execution) -> Ahead | None:
    """What came of it; None if it cannot be called."""
    lent = Lent()
    try:
        running = Eager(execute(program, site, delivery, lent), site.context_of(delivery))
    except DecodeError:
        return None
    except LeaseNeeded:
        program.pace.uses_its_context(delivery.step)
        return None
    if running.paused:
        program.pace.waited(delivery.step)
        return Ahead(delivery, running, lent)
    return Ahead(delivery, running.result, lent)


def _link(program: Program, ahead: Ahead) -> Link | None:
    if not isinstance(ahead.outcome, Returned):
        return None
    commit = plan_commit(program.router, ahead.delivery, ahead.outcome, ())
    if len(commit.emissions) > STAGED_PART:
        return None
    try:
        planned = commit_map(commit, (), program.codec.at(ahead.delivery.run_id))
    except (EncodeError, LimitExceededError):
        return None
    return None if planned.blobs else Link(commit, planned)
