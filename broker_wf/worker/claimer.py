"""Claim while there are free places. A claim rides in the round trip of the commit that freed one.

That of an idle worker goes along with its blocked read: the server does it as soon as a bell ends the read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial

from broker_wf.broker.asking import Asking, Claimed, Serving
from broker_wf.broker.claims import ClaimStore
from broker_wf.broker.clients import Argument
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Fence, Lane, WorkerId
from broker_wf.core.tasks import begin_apart
from broker_wf.errors import BrokerError
from broker_wf.worker.lane_turns import LaneTurns

log = logging.getLogger("broker_wf.worker")

_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)

_SHARE_PATIENCE_S = 0.05
"""How long others may take their share of a fan-out before one worker takes more of what is left."""
_LARGEST_CLAIM = 128
_MOST_ALONG = 4
"""A worker that stands still while it waits for a bell holds up no more than these, until their leases run out."""
_ORDERS = (*(*("+.-",) * 4, ".+-") * 4, "-+.")
"""Which priority a claim looks for first: of 21 claims 16 look for high, 4 for none, 1 for low."""


@dataclass(slots=True, kw_only=True)
class Claimer:
    """Asks for work, at most one claim at a time: one that is asked for takes the place of one that waits for a bell.

    Attributes:
        read_ms: how long a blocked read may take.
        held: how many deliveries are under execution.
        is_idle: whether it executes none, and owes none of those under way a slot.
        frail_at: crashes after which a delivery is frail: one more makes it poison.
        holds_frail: whether one of those under execution is frail.
        start: begins one; called in the event loop.
        idle: called when a claim has brought nothing.
        settled: called when it is known what a claim has brought.
        pass_on: rings bells that were heard here and are not answered, since nothing is free.
        promised: slots that a claim under way may fill, or one that waits for a bell.
        missed: it was asked for work when nothing was free.
    """

    store: ClaimStore
    worker: WorkerId
    concurrency: int
    lease_ms: int
    read_ms: int
    held: Callable[[], int]
    is_idle: Callable[[], bool]
    frail_at: int
    holds_frail: Callable[[], bool]
    start: Callable[[Delivery], None]
    idle: Callable[[], None]
    settled: Callable[[], None]
    pass_on: Callable[[list[Lane]], None]
    promised: int = 0
    missed: bool = False
    claims: int = 0
    _found_all: bool = False
    _along: Asking | None = None
    _turns: LaneTurns = field(default_factory=LaneTurns)
    _open: bool = True
    _asking: asyncio.Task[None] | None = None
    _asked_again: bool = False
    _waited: int = 0
    _more_later: asyncio.TimerHandle | None = None

    def serve(self, lanes: list[Serving]) -> None:
        """Claim from these lanes from now on."""
        self._turns.serve(lanes)
        if self._along is not None:
            self.ask()

    @property
    def is_open(self) -> bool:
        """Whether the worker takes work at all."""
        return self._open

    @property
    def is_full(self) -> bool:
        """Whether no delivery can be taken: no place is free, or claiming has ended."""
        return not self._open or self.held() >= self.concurrency

    @property
    def _is_under_way(self) -> bool:
        return self._asking is not None and not self._asking.done()

    def hear(self, lane: Lane | None) -> None:
        """A bell of this lane, or there may be work in any."""
        if lane is not None:
            self._turns.rang(lane)
        self.ask()

    def freed(self) -> None:
        """A slot has fallen free, and nothing was made: claim, unless the last claim has left nothing.

        Whatever has come since rings a bell, and that is heard while a slot is free.
        """
        if self.missed or not self._found_all:
            self.ask()

    def ask(self, *, waited: int = 0) -> None:
        """Claim now, unless nothing is free; after the claim that is under way, if there is one.

        ``waited``: how often in a row this worker has left work to others, who have not come for it.
        """
        self._found_all = False
        if self._is_under_way:
            self._asked_again = True
            return
        self.missed = self.is_full
        if self.missed:
            if unanswered := self._turns.pass_on():
                self.pass_on(unanswered)
            return
        self._begin(waited)

    def _begin(self, waited: int) -> None:
        self._asking = begin_apart(self._take(self.store.claim(partial(self._goes_out, waited))))

    def along(self) -> tuple[Argument, ...] | None:
        """A claim for a blocked read to take along, where the worker is idle. :meth:`came` is to hear of its reply.

        It asks for little, and waits until a bell is heard. Whatever else would claim before that takes its place,
        under its fence: the server does it once, whichever comes first.
        """
        if self._along is not None or self._is_under_way or self.is_full or not self.is_idle():
            return None
        self._along = replace(self._goes_out(0, _MOST_ALONG), along_ms=self.read_ms)
        return self.store.command(self._along)

    def came(self, reply: object, lane: Lane | None) -> bool:
        """Begin what the claim has brought that went along.

        Args:
            reply: to it; an error may hide one.
            lane: the one whose bell has ended the read, if a bell has.

        Returns:
            Whether it was a claim. Otherwise another one is wanted.
        """
        asked = self._along
        if asked is None or isinstance(reply, Exception):
            return False
        self._along, self.promised = None, 0
        if lane is not None:
            self._turns.answered(lane)
        self._took(self.store.came(asked, reply))
        return True

    async def rest(self) -> None:
        """Wait for the claim that is under way, if there is one."""
        if self._asking is not None and not self._asking.done():
            await asyncio.wait([self._asking])

    def _goes_out(self, waited: int, most: int = _LARGEST_CLAIM) -> Asking:
        """What the claim asks for: all that is free by the time when it is sent."""
        held, self._asked_again = self.held(), False
        along, self._along = self._along, None
        self.promised = max(0, min(self.concurrency - held, most)) if self._open else 0
        return Asking(
            worker=self.worker,
            fence=new_fence() if along is None else along.fence,
            free=self.promised,
            held=held,
            waited=waited,
            lease_ms=self.lease_ms,
            frail_at=self.frail_at,
            frail_free=not self.holds_frail(),
            serves=self._turns.next(),
            order=_ORDERS[self.claims % len(_ORDERS)],
            along_ms=0 if along is None else along.along_ms,
            again=along is not None,
        )

    async def close(self) -> None:
        """Stop claiming; what a claim under way brings is still started."""
        self._open = False
        if self._more_later is not None:
            self._more_later.cancel()
        if self._along is not None and not self._is_under_way:
            self._begin(0)
        if self._asking is not None and not self._asking.done():
            await asyncio.wait([self._asking], timeout=2.0)

    async def _take(self, claim: Coroutine[object, object, Claimed]) -> None:
        try:
            claimed = await claim
        except BrokerError as error:
            log.error("a claim failed: %s", error)
            return
        finally:
            self.promised = 0
        # It is over: the next one goes out with what waits to be sent now.
        self._asking = None
        self._took(claimed)

    def _took(self, claimed: Claimed) -> None:
        self.claims += 1
        for delivery in claimed.deliveries:
            self.start(delivery)
        self.settled()
        if not claimed.capped:
            self._waited = 0
        elif self._open and self._more_later is None:
            self._more_later = asyncio.get_running_loop().call_later(_SHARE_PATIENCE_S, self._take_more)
        # Where a claim got less than it asked for, nothing is left; what comes now rings.
        everything = claimed.is_all and not claimed.capped
        self._turns.brought([one.lane for one in claimed.deliveries], everything=everything)
        self._found_all = not (everything or claimed.capped or self._asked_again)
        if everything or self._asked_again:
            self.ask()
        else:
            self.idle()

    def _take_more(self) -> None:
        self._more_later = None
        self._waited += 1
        self.ask(waited=self._waited)


def new_fence() -> Fence:
    """A nonce no lease has had: 64 random bits.

    It is no secret, and there is one for each execution: the system is asked for randomness once, not every time.
    """
    return Fence(f"{_random.getrandbits(64):016x}")
