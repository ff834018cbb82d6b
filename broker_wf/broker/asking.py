"""What a worker asks for, and what it gets: a claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Digest, Fence, Lane, StepName, WorkerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A lane a worker claims from.

    Attributes:
        digest: runs of another graph are set aside.
        limits: ``num_workers`` of the limited steps.
        per_run: ``num_workers_per_run`` of those that have it.
    """

    lane: Lane
    digest: Digest
    limits: Mapping[StepName, int]
    per_run: Mapping[StepName, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What a worker asks a claim for.

    Attributes:
        free: deliveries it can start.
        held: deliveries it executes.
        waited: how often in a row it has left work to others; it takes more than a fair share then.
        frail_at: crashes after which a delivery is frail: one more makes it poison.
        frail_free: the worker holds no frail delivery; it may have one at a time.
        order: which priority comes first: ``+`` high, ``.`` none, ``-`` low.
        along_ms: how long the blocked read may take that it goes along with, or in whose claim's place it is, under the
            same fence; 0: there is none.
        again: the reply to a claim under this fence is not known.
    """

    worker: WorkerId
    fence: Fence
    free: int
    held: int
    waited: int
    lease_ms: int
    serves: bytes
    frail_at: int = 2
    frail_free: bool = True
    order: str = "+.-"
    along_ms: int = 0
    again: bool = False

    def arguments(self, *, again: bool) -> tuple[object, ...]:
        """Of the script; ``again``: the reply to this very claim was lost."""
        head = (self.worker, self.fence, self.free, self.held, self.waited, int(again or self.again))
        rest = self.lease_ms, self.frail_at, int(self.frail_free), self.order, self.along_ms, self.serves
        return *head, *rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a claim brought.

    Attributes:
        capped: work was left behind though there were places: for others to share, or behind much that was stale.
        is_all: as many as were asked for; there may be more.
    """

    deliveries: tuple[Delivery, ...]
    capped: bool
    is_all: bool
