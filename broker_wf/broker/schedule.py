"""What is due: leases that ran out, delays, deadlines; and the audit of indexes against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from broker_wf.broker.connection import Pipe
from broker_wf.broker.script import load
from broker_wf.core.ids import WorkflowName


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did.

    Attributes:
        more: it has not looked at all that is due; another call goes on.
        redispatched: deliveries put back into a stream.
        ended: runs ended; a call ends only a few.
    """

    more: bool
    redispatched: int
    ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What an audit found.

    Attributes:
        runs: looked at.
        stuck: runs that could never end and were failed.
        unserved: runs of a version that no live worker has, while workers have another.
    """

    runs: int
    repairs: int
    stuck: int
    unserved: int


@dataclass(frozen=True, slots=True)
class ScheduleStore:
    """Sweep and audit: any worker, at any time; twice is harmless."""

    pipe: Pipe

    async def sweep(self, limit: int, outage_ms: int, max_crashes: int) -> Swept:
        """Look at up to ``limit`` members that are due, of each watch set.

        Args:
            outage_ms: when nobody has swept for longer, runs whose time ended meanwhile get that time once more.
                Leases that ran out while nobody swept for most of a lease get half of one more.
        """
        more, redone, ended = cast("list[int]", await self.pipe.call(load("sweep"), limit, outage_ms, max_crashes))
        return Swept(more=more == 1, redispatched=redone, ended=ended)

    async def audit(
        self, workflow: WorkflowName, offset: int, limit: int, *, fresh_ms: int = 15_000, skew_ms: int = 0
    ) -> Audited:
        """Look at some live runs of a workflow, from the ``offset``-th oldest on.

        Args:
            fresh_ms: a worker heard of within this time is alive.
            skew_ms: how long a run waits for a worker of its version while workers have another; then it fails. 0: for
                ever.
        """
        reply = await self.pipe.call(load("audit"), workflow, offset, limit, fresh_ms, skew_ms)
        runs, repairs, stuck, unserved = cast("list[int]", reply)
        return Audited(runs=runs, repairs=repairs, stuck=stuck, unserved=unserved)
