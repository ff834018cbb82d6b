"""The Context's state of a run: one field per top-level key, each with a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.changes import Changed, ChangeQueue
from broker_wf.broker.connection import Pipe
from broker_wf.broker.leased import Acknowledged
from broker_wf.broker.script import load
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId, WorkerId
from broker_wf.errors import LeaseLostError, RunNotFoundError


@dataclass(frozen=True, slots=True)
class Versioned:
    """A state value, encoded, and its version, which no other value of the key has had. 0: the key does not exist."""

    version: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class ContextStateStore:
    """Reads of the state, the run's lock, and changes in place. Other writes are effects of a delivery."""

    pipe: Pipe
    changes: ChangeQueue

    async def get(self, run_id: RunId, key: str) -> Versioned:
        """One key as last committed; reads never wait for an edit."""
        raw = cast("bytes | None", await self.pipe.command("HGET", self.pipe.keys.of("state", run_id), key))
        return Versioned(0, None) if raw is None else _split(raw)

    async def all(self, run_id: RunId) -> dict[str, Versioned]:
        """Every key as last committed."""
        raw = await self.pipe.command("HGETALL", self.pipe.keys.of("state", run_id))
        return {key.decode(): _split(value) for key, value in _pairs(raw)}

    async def put(
        self, run_id: RunId, sets: Mapping[str, bytes], removed: Sequence[str], versions: Mapping[str, int]
    ) -> bool:
        """Write from outside a step.

        Args:
            versions: what each key must still have.

        Returns:
            False if a key has changed meanwhile, or a step is editing the state; then nothing was written.

        Raises:
            RunNotFoundError: no such run.
        """
        first = (run_id, [[key, value] for key, value in sets.items()], list(removed), dict(versions))
        done = await self.pipe.call_again(load("put"), (*first, 0), (*first, 1))
        if done == 0:
            raise RunNotFoundError(run_id)
        return done == 1

    async def change(self, delivery: Delivery, plan: Mapping[str, object], acked: Acknowledged) -> Changed:
        """Change a number, list or set where it stands; see :class:`ChangeQueue`.

        Args:
            acked: takes note of what is done.
        """
        asked_at = acked.asking()
        done = await self.changes.put(delivery, plan)
        if done.word in ("ok", "seen", "yours", "queued"):
            acked.change(cast(str, plan["id"]), asked_at)
        return done

    async def change_from_outside(self, run_id: RunId, plan: Mapping[str, object]) -> Changed:
        """Change a number, list or set where it stands, from outside a step; see :class:`ChangeQueue`."""
        return await self.changes.from_outside(run_id, plan)

    async def lock(self, delivery: Delivery, token: str, worker: WorkerId) -> bool:
        """Ask for the run's lock.

        Returns:
            True: held. False: it will be granted by a message to the worker's inbox.

        Raises:
            LeaseLostError: the delivery is no longer ours, or its run has ended.
        """
        ask = ask_for_lock(delivery, token, worker)
        reply = cast("list[bytes]", await self.pipe.call(load("lock"), delivery.run_id, ask))
        if reply[0] not in (b"OK", b"WAIT"):
            raise LeaseLostError(delivery.id)
        return reply[0] == b"OK"

    async def unlock(self, run_id: RunId, token: str, after: Mapping[str, str] | None = None) -> str:
        """Drop the lock, or the wait for it, without a change.

        Args:
            after: who of this worker is to have it next.

        Returns:
            What became of that one: ``yours``: it has the lock; ``queued``: it waits for it; else neither.
        """
        return cast(bytes, await self.pipe.call(load("unlock"), run_id, token, after or {})).decode()


def ask_for_lock(delivery: Delivery, token: str, worker: WorkerId) -> Mapping[str, str]:
    """Who wants the lock, as the scripts read it: always with its fields in this order."""
    return {"did": delivery.id, "nonce": delivery.fence, "token": token, "worker": worker}


def _split(raw: bytes) -> Versioned:
    version, _, value = raw.partition(b":")
    return Versioned(int(version), value)


def _pairs(raw: object) -> list[tuple[bytes, bytes]]:
    if isinstance(raw, dict):
        return list(cast("dict[bytes, bytes]", raw).items())
    flat = cast("list[bytes]", raw)
    return list(zip(flat[::2], flat[1::2], strict=True))
