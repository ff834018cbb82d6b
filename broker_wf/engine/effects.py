"""Effects a step makes by call: encoded at the call, sent in order, each once."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

from broker_wf.broker.deliveries import EFFECTS_AT_ONCE, Ended
from broker_wf.broker.leased import Acknowledged
from broker_wf.broker.plans import EffectIds, Planned, effect_map
from broker_wf.core.delivery import Delivery
from broker_wf.core.outcome import Effect
from broker_wf.engine.site import Site
from broker_wf.errors import BrokerError, LeaseLostError
from broker_wf.wire.codec import Codec


@dataclass(slots=True)
class _Put:
    planned: Planned
    reply: asyncio.Future[str] | None


@dataclass(slots=True, kw_only=True)
class Effects:
    """The effects of one execution.

    Attributes:
        held: kept back until the commit, which verifies what they follow from.
        acked: what the server has done of them.
    """

    site: Site
    delivery: Delivery
    codec: Codec
    held: bool = False
    ids: EffectIds = field(init=False)
    acked: Acknowledged = field(init=False)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _pending: list[_Put] = field(default_factory=list[_Put])
    _free: int = 0
    _broken: BrokerError | None = None
    _sender: asyncio.Task[None] | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.ids = EffectIds(self.delivery)
        self.acked = Acknowledged(self.site.broker.admission)

    def put(self, effect: Effect) -> None:
        """Make an effect; from any thread. It is on its way at the end of this tick.

        Raises:
            EncodeError, LimitExceededError: the event cannot travel.
        """
        with self._guard:
            self._pending.append(_Put(effect_map(effect, self.ids, self.codec), None))
        if not self.held:
            self.loop.call_soon_threadsafe(self._begin_sending)

    async def apply(self, effect: Effect) -> str:
        """Make an effect and wait for what became of it.

        Returns:
            ``ok``, ``seen``, ``conflict``, ``locked`` or ``lost``; ``held`` if it is kept for the commit.

        Raises:
            LeaseLostError: the delivery is no longer ours, or its run has ended.
        """
        if self.held:
            self.put(effect)
            return "held"
        reply: asyncio.Future[str] = self.loop.create_future()
        with self._guard:
            self._pending.append(_Put(effect_map(effect, self.ids, self.codec), reply))
        self._begin_sending()
        return await reply

    async def sent(self) -> None:
        """Send what is not held, and wait until it is there.

        Raises:
            BrokerError: an effect was refused by the server.
        """
        while self._broken is None and (self._is_sending() or self._free_count()):
            await asyncio.wait([self._begin_sending()])
        if self._broken is not None:
            raise self._broken

    def hold(self) -> None:
        """Keep what comes from now on for the commit."""
        with self._guard:
            if not self.held:
                self.held, self._free = True, len(self._pending)

    async def settle(self) -> tuple[list[Planned], list[Planned]]:
        """Wait for what is on its way; send first what is too much for the script that ends the attempt.

        Returns:
            What was not sent, in order: the free ones, and those held for the commit.

        Raises:
            BrokerError: an effect was refused by the server.
        """
        while self._broken is None:
            if self._is_sending():
                await asyncio.wait([self._begin_sending()])
            elif self._free_count() > EFFECTS_AT_ONCE:
                self._begin_sending()
            else:
                free = self._free_count()
                left, self._pending = [one.planned for one in self._pending], []
                return left[:free], left[free:]
        raise self._broken

    def _free_count(self) -> int:
        return self._free if self.held else len(self._pending)

    def replace_held(self, kind: str, effect: Effect) -> None:
        """Let one held effect of this kind stand for the former one."""
        with self._guard:
            self._pending = [one for one in self._pending if one.planned.plan["kind"] != kind]
        self.put(effect)

    def _is_sending(self) -> bool:
        return self._sender is not None and not self._sender.done()

    def _begin_sending(self) -> asyncio.Task[None]:
        if self._sender is None or self._sender.done():
            self._sender = self.loop.create_task(self._send())
        return self._sender

    def _next_batch(self) -> list[_Put]:
        """What may be sent now: everything, or what was made before effects were held."""
        with self._guard:
            count = self._free_count()
            batch, self._pending = self._pending[:count], self._pending[count:]
            self._free = 0
        return batch

    async def _send(self) -> None:
        while batch := self._next_batch():
            plans = [one.planned for one in batch]
            makes_work = any(one.event is not None for one in plans)
            try:
                ended, words = await self.site.broker.deliveries.apply(
                    self.delivery,
                    plans,
                    self.acked,
                    busy=self.site.is_busy(),
                    sent=self.site.work_made if makes_work else _nothing,
                )
            except BrokerError as error:
                self._broken = error
                _refuse(batch, error)
                return
            if ended is not Ended.DONE or len(words) != len(batch):
                _refuse(batch, LeaseLostError(self.delivery.id))
                return
            for one, word in zip(batch, words, strict=True):
                if one.reply is not None and not one.reply.done():
                    one.reply.set_result(word)


def _nothing() -> None:
    """No work was made."""


def _refuse(batch: list[_Put], error: BaseException) -> None:
    for one in batch:
        if one.reply is not None and not one.reply.done():
            one.reply.set_exception(error)
