"""Claims: of work that waits, for a worker that has places."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.asking import Asking, Claimed
from broker_wf.broker.clients import Argument
from broker_wf.broker.connection import Pipe
from broker_wf.broker.packing import unpack
from broker_wf.broker.plans import delivery_of
from broker_wf.broker.script import load
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Fence

log = logging.getLogger("broker_wf.connection")


@dataclass(frozen=True, slots=True)
class ClaimStore:
    """Leases what waits: by a call of its own, or along with a blocked read."""

    pipe: Pipe

    def claim(self, asking: Callable[[], Asking]) -> Coroutine[object, object, Claimed]:
        """Lease up to ``asking.free`` deliveries. A claim whose reply was lost gives the same ones again.

        Asked for at the call, so that it goes out with what this tick has asked for before.

        Args:
            asking: called when the claim goes out: what is ended by the commits before it counts.
        """
        made = list[Asking]()

        def first() -> tuple[object, ...]:
            made.append(asking())
            return made[0].arguments(again=False)

        reply = self.pipe.call_late(load("claim"), first, lambda: made[0].arguments(again=True))

        async def claimed() -> Claimed:
            return _claimed(await reply, made[0])

        return claimed()

    def command(self, asking: Asking) -> tuple[Argument, ...]:
        """What a blocked read takes along: the server does it when the read has ended, without another round trip."""
        return load("claim").command(self.pipe.keys.tag, asking.arguments(again=False))

    def came(self, asking: Asking, reply: object) -> Claimed:
        """What that has brought."""
        return _claimed(load("claim").reply(reply), asking)


def _claimed(reply: object, asked: Asking) -> Claimed:
    found, capped = cast("tuple[list[dict[bytes, object]], int]", reply)
    deliveries = tuple(_readable(found, asked.fence))
    return Claimed(deliveries=deliveries, capped=capped == 1, is_all=len(found) == asked.free)


def _readable(found: list[dict[bytes, object]], fence: Fence) -> Iterator[Delivery]:
    """Those of a claim that can be read; the lease of any other runs out, and makes it poison in the end.

    Whoever is given it first says so, and nobody who is given it after that.
    """
    for one in found:
        try:
            yield delivery_of(one, fence)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            level = logging.DEBUG if _has_crashed(one) else logging.ERROR
            log.log(level, "a delivery cannot be read (%s: %s): %r", type(error).__name__, error, one.get(b"d"))


def _has_crashed(found: dict[bytes, object]) -> bool:
    try:
        return bool(cast("dict[bytes, object]", unpack(cast(bytes, found[b"c"])))[b"c"])
    except (ValueError, KeyError, TypeError):
        return False
