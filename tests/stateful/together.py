"""Commits of several deliveries in one script, and of what was executed in one go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from broker_wf.broker.deliveries import Ended, Link
from broker_wf.broker.plans import commit_map
from broker_wf.core.commit import StepCommit
from broker_wf.core.delivery import Delivery
from broker_wf.events import Event
from tests.stateful.rig import Rig
from tests.stateful.twins import Twins


def commit_together(rig: Rig, commits: Sequence[StepCommit]) -> list[Ended]:
    """Commits of one turn of the loop."""

    async def together() -> list[Ended]:
        commit, codec = rig.broker.deliveries.commit, rig.program.codec
        ends = [
            commit(
                Link(one, commit_map(one, [], codec)),
                [],
                rig.known(one.delivery)[0],
                busy=False,
                sent=lambda: None,
            )
            for one in commits
        ]
        return await asyncio.gather(*ends)

    ended = rig.run(together())
    return [rig.ended(one.delivery, word) for one, word in zip(commits, ended, strict=True)]


def chain(rig: Rig, delivery: Delivery, kinds: Sequence[type[Event]], n: int) -> list[StepCommit]:
    """Commits one from the other: what each kind of event leads to, as long as one delivery alone follows."""
    commits = list[StepCommit]()
    for kind in kinds:
        if commits:
            step = commits[-1].follower(rig.program.spec)
            if step is None:
                break
            delivery = commits[-1].following(step, rig.fence(), b"")
        commits.append(rig.plan(delivery, [kind(n=n)], listed=False))
    return commits


def committed_together(twins: Twins, deliveries: Sequence[Delivery], kind: type[Event], n: int) -> None:
    """Of one run, in one turn of the loop."""
    plans = [twins.rig.plan(one, [kind(n=n)], listed=False) for one in deliveries]
    told = [twins.rig.known(one)[1] for one in deliveries]
    ended = commit_together(twins.rig, plans)
    expected = [
        twins.runs[plan.delivery.run_id].commit(plan.delivery.id, plan.delivery.fence, plan, n, known)
        for plan, known in zip(plans, told, strict=True)
    ]
    assert ended == expected


def committed_in_one_go(twins: Twins, delivery: Delivery, kinds: Sequence[type[Event]], n: int) -> None:
    """With what followed from it, and from that."""
    plan, *links = chain(twins.rig, delivery, kinds, n)
    run, fence = twins.runs[delivery.run_id], delivery.fence
    waits = twins.rig.raw.hexists(twins.rig.key("run", delivery.run_id), "waits")
    refused = run.refusal(delivery.id, fence)
    if refused is None and links and waits:
        assert twins.rig.commit(plan, links=links) is Ended.SINGLY
        return
    expected = run.commit(delivery.id, fence, plan, n, twins.rig.known(delivery)[1])
    for link in links if expected is Ended.DONE and refused is None else ():
        run.claim(link.delivery.id, link.delivery.fence)
        assert run.commit(link.delivery.id, link.delivery.fence, link, n, None) is Ended.DONE
    assert twins.rig.commit(plan, links=links) is expected
