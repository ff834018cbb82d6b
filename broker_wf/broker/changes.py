"""Changes of the state where it stands; those of the steps of this process go several in a script."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from broker_wf.broker.connection import Pipe
from broker_wf.broker.script import load
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId
from broker_wf.errors import BrokerError, LeaseLostError, RunNotFoundError

CHANGES_AT_ONCE = 200
"""More in one script would hold the server up for everybody else."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a change.

    Attributes:
        word: ``ok``; ``seen``: it had been made before; ``locked``: somebody edits the state; ``lost``: the lock;
            ``conflict``: another version stands there; ``hard``: the server cannot make it, or must not.
        result: of ``ok`` and ``seen``: the encoded result, without its first byte.
    """

    word: str
    result: bytes = b""


@dataclass(slots=True)
class _Asked:
    delivery: Delivery
    plan: Mapping[str, object]
    reply: asyncio.Future[Changed]


@dataclass(slots=True)
class ChangeQueue:
    """What is asked for while a script is under way goes with the next one of the run."""

    pipe: Pipe
    _waiting: dict[RunId, list[_Asked]] = field(default_factory=dict[RunId, "list[_Asked]"])
    _senders: dict[RunId, asyncio.Task[None]] = field(default_factory=dict[RunId, "asyncio.Task[None]"])
    _seen: dict[RunId, list[str]] = field(default_factory=dict[RunId, "list[str]"])

    def put(self, delivery: Delivery, plan: Mapping[str, object]) -> asyncio.Future[Changed]:
        """Ask for a change, see ``lib/changes.lua``.

        Raises (when awaited):
            LeaseLostError: the delivery is no longer ours, or its run has ended; nothing was changed.
            BrokerError: the server refuses.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(delivery, plan, loop.create_future())
        self._waiting.setdefault(delivery.run_id, []).append(asked)
        if delivery.run_id not in self._senders:
            self._senders[delivery.run_id] = loop.create_task(self._send(delivery.run_id))
        return asked.reply

    async def from_outside(self, run_id: RunId, plan: Mapping[str, object]) -> Changed:
        """Ask for a change that no step makes. Its result is remembered until it is known to have come, or an hour.

        Raises:
            RunNotFoundError: no such run.
            BrokerError: the server refuses.
        """
        id_ = secrets.token_hex(8)
        change = {**plan, "id": id_, "forget": self._seen.pop(run_id, [])}
        reply = cast("list[bytes]", await self.pipe.call(load("alter"), run_id, change))
        if reply[0] == b"missing":
            raise RunNotFoundError(run_id)
        if reply[0] in (b"ok", b"seen"):
            self._seen.setdefault(run_id, []).append(id_)
        return _changed(reply)

    async def _send(self, run_id: RunId) -> None:
        waiting = self._waiting[run_id]
        try:
            while waiting:
                batch = waiting[:CHANGES_AT_ONCE]
                del waiting[:CHANGES_AT_ONCE]
                await self._make(run_id, batch)
        finally:
            del self._waiting[run_id], self._senders[run_id]

    async def _make(self, run_id: RunId, batch: list[_Asked]) -> None:
        plans = [{**one.plan, "did": one.delivery.id, "nonce": one.delivery.fence} for one in batch]
        try:
            replies = cast("list[list[bytes]]", await self.pipe.call(load("change"), run_id, plans))
        except (BrokerError, asyncio.CancelledError) as error:
            for one in batch:
                if not one.reply.done():
                    one.reply.set_exception(error) if isinstance(error, BrokerError) else one.reply.cancel()
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        for one, reply in zip(batch, replies, strict=True):
            _settle(one, reply)


def _settle(asked: _Asked, reply: list[bytes]) -> None:
    if asked.reply.done():
        return
    if reply[0].isupper():
        asked.reply.set_exception(LeaseLostError(asked.delivery.id))
    else:
        asked.reply.set_result(_changed(reply))


def _changed(reply: list[bytes]) -> Changed:
    return Changed(reply[0].decode(), reply[1] if len(reply) > 1 else b"")
