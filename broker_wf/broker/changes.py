"""Changes of the state where it stands; those of the steps of this process go several in a script."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from broker_wf.broker.connection import Pipe
from broker_wf.broker.script import load
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId
from broker_wf.errors import LeaseLostError, RunNotFoundError

CHANGES_AT_ONCE = 200
"""More in one script would hold the server up for everybody else."""
_RUNS_SEEN = 1_000
"""Of so many runs it is known which results have come; those of others the server forgets after an hour."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a change.

    Attributes:
        word: ``ok``, or of an edit that handed the lock on ``yours``, or ``queued`` where that has to wait for it;
            ``seen``: it had been made before; ``locked``: somebody edits the state; ``lost``: the lock;
            ``conflict``: another version stands there; ``hard``: the server cannot make it, or must not.
        result: of what was made: the encoded result, without its first byte; of an edit nothing.
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
    _seen: dict[RunId, list[str]] = field(default_factory=dict[RunId, "list[str]"])

    def put(self, delivery: Delivery, plan: Mapping[str, object]) -> asyncio.Future[Changed]:
        """Ask for a change, see ``lib/changes.lua``.

        Raises (when awaited):
            LeaseLostError: the delivery is no longer ours, or its run has ended; nothing was changed.
            BrokerError: the server refuses.
        """
        loop, run_id = asyncio.get_running_loop(), delivery.run_id
        asked = _Asked(delivery, plan, loop.create_future())
        waiting = self._waiting.get(run_id)
        if waiting is None:
            self._waiting[run_id] = [asked]
            loop.call_soon(self._send, run_id)
        else:
            waiting.append(asked)
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
            if len(self._seen) > _RUNS_SEEN:
                del self._seen[next(iter(self._seen))]
        return _changed(reply)

    def _send(self, run_id: RunId) -> None:
        waiting = self._waiting[run_id]
        batch = waiting[:CHANGES_AT_ONCE]
        del waiting[:CHANGES_AT_ONCE]
        if not batch:
            del self._waiting[run_id]
            return
        plans = [{**one.plan, "did": one.delivery.id, "nonce": one.delivery.fence} for one in batch]
        reply = asyncio.ensure_future(self.pipe.call(load("change"), run_id, plans))
        reply.add_done_callback(partial(self._came, run_id, batch))

    def _came(self, run_id: RunId, batch: list[_Asked], reply: asyncio.Future[object]) -> None:
        error = None if reply.cancelled() else reply.exception()
        if reply.cancelled() or error is not None:
            for one in batch:
                _refuse(one.reply, error)
        else:
            for one, its in zip(batch, cast("list[list[bytes]]", reply.result()), strict=True):
                _settle(one, its)
        self._send(run_id)


def _refuse(reply: asyncio.Future[Changed], error: BaseException | None) -> None:
    if reply.done():
        return
    if error is None:
        reply.cancel()
    else:
        reply.set_exception(error)


def _settle(asked: _Asked, reply: list[bytes]) -> None:
    if asked.reply.done():
        return
    if reply[0].isupper():
        asked.reply.set_exception(LeaseLostError(asked.delivery.id))
    else:
        asked.reply.set_result(_changed(reply))


def _changed(reply: list[bytes]) -> Changed:
    return Changed(reply[0].decode(), reply[1] if len(reply) > 1 else b"")
