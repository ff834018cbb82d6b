"""The run's state inside a step: reads from Redis, writes as fenced effects."""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import BaseModel

from broker_wf.broker.changes import Changed
from broker_wf.broker.context_state import ask_for_lock
from broker_wf.context.changes import Change, add, append, increment
from broker_wf.context.paths import get_by_path, split_path
from broker_wf.context.state_store import copy_state_for_edit
from broker_wf.core.delivery import Delivery
from broker_wf.core.outcome import StateEdit, StateSet
from broker_wf.engine.effects import Effects
from broker_wf.engine.locks import Waiter
from broker_wf.engine.site import Site
from broker_wf.errors import BrokerError, LeaseLostError
from broker_wf.wire.codec import Codec
from broker_wf.wire.envelope import unsigned
from broker_wf.wire.state import (
    CLASS_KEY,
    StateClass,
    change_in_place,
    change_result,
    class_in,
    cleared_state,
    decoded_state,
    encoded_state,
    may_be_of_subclass,
    replaced_state,
    result_of_change,
    value_at,
    value_changed,
    value_with,
)

_editing: ContextVar[bool] = ContextVar("editing_state", default=False)
_ASKED_AGAIN_AFTER_S = 2.0
_WORKED_OUT = 4
"""So often a change is worked out on what stands there, before the lock is taken so that nobody comes between."""


@dataclass(slots=True, kw_only=True)
class StepState:
    """The store a step's Context gives.

    While effects are held for the commit, what was written is read back from ``_overlay``, and the run's lock is kept
    until then, so that the commit finds the state as the step did.
    """

    state_type: type[BaseModel]
    site: Site
    delivery: Delivery
    codec: Codec
    effects: Effects
    _overlay: dict[str, bytes | None] = field(default_factory=dict[str, "bytes | None"])
    _held_token: str | None = None
    _own: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, path: str, default: Any = ...) -> Any:
        """See ``StateStore``. What is returned is a copy."""
        if not path:
            return await self.get_state()
        first = path.split(".")[0]
        raw, _ = await self._read(first)
        if raw is None and may_be_of_subclass(self.state_type, first):
            return get_by_path(await self.get_state(), path, default)
        return value_at(self.codec, self.state_type, path, raw, default)

    async def set(self, path: str, value: Any) -> None:
        """See ``StateStore``."""
        _refuse_inside_edit()
        segments = split_path(path)
        while True:
            raw, version = await self._read(segments[0])
            if self.effects.held:
                return await self._set_under_lock(path, value)
            key, encoded = value_with(self.codec, await self._class_with(segments[0]), path, raw, value)
            expected = version if len(segments) > 1 else None
            word = await self.effects.apply(StateSet(key=key, value=encoded, version=expected))
            if word == "locked":
                return await self._set_under_lock(path, value)
            if word != "conflict":
                return None

    async def increment(self, path: str, by: Any = 1) -> Any:
        """See ``StateStore``."""
        return await self._changed(path, increment(by))

    async def append(self, path: str, *values: Any) -> int:
        """See ``StateStore``."""
        return await self._changed(path, append(values))

    async def add(self, path: str, *values: Any) -> int:
        """See ``StateStore``."""
        return await self._changed(path, add(values))

    async def get_state(self) -> BaseModel:
        """See ``StateStore``."""
        return decoded_state(self.codec, self.state_type, await self._read_all())

    async def set_state(self, state: BaseModel) -> None:
        """See ``StateStore``."""
        _refuse_inside_edit()
        async with self._locked("set_state") as (before, commit):
            await commit(replaced_state(self.codec, self.state_type, before, state))

    async def clear(self) -> None:
        """See ``StateStore``."""
        _refuse_inside_edit()
        async with self._locked("clear") as (before, commit):
            await commit(cleared_state(self.codec, self.state_type, before))

    def edit_state(self) -> AbstractAsyncContextManager[BaseModel]:
        """See ``StateStore``."""
        _refuse_inside_edit()
        frame = inspect.currentframe()
        caller = frame.f_back if frame is not None else None
        return self._edited("" if caller is None else f"{caller.f_code.co_name}:{caller.f_lineno}")

    @asynccontextmanager
    async def _edited(self, place: str) -> AsyncGenerator[BaseModel, None]:
        async with self._locked(place) as (before, commit):
            edited = copy_state_for_edit(decoded_state(self.codec, self.state_type, before))
            token = _editing.set(True)
            try:
                yield edited
            finally:
                _editing.reset(token)
            await commit(encoded_state(self.codec, self.state_type, edited))

    async def drop(self) -> None:
        """Give the lock back that a commit which was refused would have taken along."""
        if self._held_token is not None:
            await self.site.broker.state.unlock(self.delivery.run_id, self._held_token)

    async def _changed(self, path: str, change: Change) -> Any:
        """Make a change on the server, or work it out where the server cannot: at a class, or if it must be refused."""
        _refuse_inside_edit()
        plan = change_in_place(self.codec, self.state_type, path, change)
        await self.effects.sent()
        if self.effects.held:
            return await self._change_held(path, change)
        name = self.effects.ids.next(change.kind, path, self._content(change))
        done = Changed("hard") if plan is None else await self._ask({**plan, "id": name})
        for _ in range(_WORKED_OUT):
            if done.word not in ("hard", "conflict"):
                break
            done = await self._ask(await self._worked_out(path, change, name))
        if done.word not in ("ok", "seen"):
            done = await self._change_under_lock(path, change, name)
        return result_of_change(self.codec, done.result)

    async def _ask(self, plan: dict[str, object]) -> Changed:
        return await self.site.broker.state.change(self.delivery, plan, self.effects.acked)

    async def _worked_out(self, path: str, change: Change, name: str) -> dict[str, object]:
        first = path.split(".")[0]
        raw, version = await self._read(first)
        key, value, result = value_changed(self.codec, await self._class_with(first), path, raw, change)
        return {"id": name, "key": key, "value": value, "version": version, "result": change_result(self.codec, result)}

    async def _change_under_lock(self, path: str, change: Change, name: str) -> Changed:
        async with self._own:
            token = self._new_token()
            await self._acquire(token)
            try:
                done = await self._ask({**await self._worked_out(path, change, name), "token": token})
            finally:
                await asyncio.shield(self._give_back(token, None))
        if done.word == "lost":
            raise self._lock_lost(token, "the lock of the state was lost; the change was not made")
        return done

    def _lock_lost(self, token: str, what: str) -> LeaseLostError:
        """What leaves the step. If its lease stands, the server has lost the lock, and the step begins again."""
        self.effects.acked.lost(token)
        return LeaseLostError(self.delivery.id, what)

    async def _change_held(self, path: str, change: Change) -> Any:
        async with self._locked(f"{change.kind}:{path}") as (before, commit):
            raw, cls = before.get(path.split(".")[0]), class_in(self.codec, self.state_type, before)
            key, encoded, result = value_changed(self.codec, cls, path, raw, change)
            await commit({**before, key: encoded})
            return result

    def _content(self, change: Change) -> bytes:
        """What names a change, whichever key signs it."""
        encoded = (self.codec.encode_value(value, what="a change of the state") for value in change.values)
        return b"".join(map(unsigned, encoded))

    def _new_token(self) -> str:
        return f"{self.delivery.fence}.{secrets.token_hex(6)}"

    async def _set_under_lock(self, path: str, value: object) -> None:
        async with self._locked(f"set:{path}") as (before, commit):
            cls = class_in(self.codec, self.state_type, before)
            key, encoded = value_with(self.codec, cls, path, before.get(path.split(".")[0]), value)
            await commit({**before, key: encoded})

    async def _class_with(self, key: str) -> StateClass:
        """The class that knows the key: it need not be the declared one."""
        if not may_be_of_subclass(self.state_type, key):
            return self.state_type
        raw, _ = await self._read(CLASS_KEY)
        return class_in(self.codec, self.state_type, {} if raw is None else {CLASS_KEY: raw})

    async def _read(self, key: str) -> tuple[bytes | None, int]:
        if key in self._overlay:
            return self._overlay[key], 0
        found = await self.site.broker.state.get(self.delivery.run_id, key)
        return found.value, found.version

    async def _read_all(self) -> dict[str, bytes]:
        stored = await self.site.broker.state.all(self.delivery.run_id)
        values = {key: one.value for key, one in stored.items()} | self._overlay
        return {key: value for key, value in values.items() if value is not None}

    @asynccontextmanager
    async def _locked(self, place: str) -> AsyncGenerator[tuple[dict[str, bytes], _Commit], None]:
        """Hold the run's lock; what was last committed, and how to commit what it is to be."""
        async with self._own:
            if self._held_token is not None:
                commit = _Commit(self, self._held_token, place, await self._read_all())
                yield commit.before, commit
                return
            token = self._new_token()
            handed = await self._acquire(token)
            commit = _Commit(self, token, place, handed or {})
            try:
                if handed is None:
                    commit.before = await self._read_all()
                yield commit.before, commit
            finally:
                if not commit.released:
                    await asyncio.shield(self._give_back(token, commit.before))

    async def _acquire(self, token: str) -> dict[str, bytes] | None:
        """Wait for the lock. Returns the state, if the lock was handed on together with it."""
        run_id, lines = self.delivery.run_id, self.site.locks
        waiter = lines.enter(run_id, ask_for_lock(self.delivery, token, self.site.worker))
        handed = None
        if waiter is not None:
            timer = self.effects.loop.call_later(_ASKED_AGAIN_AFTER_S, lines.go_ahead, run_id, waiter)
            try:
                handed = await asyncio.shield(waiter.turn)
            except asyncio.CancelledError:
                if not lines.leave(run_id, waiter):
                    await asyncio.shield(self._forsake(waiter, token))
                raise
            finally:
                timer.cancel()
        if handed is None:
            await self._ask_for_lock(token)
        return handed

    async def _ask_for_lock(self, token: str) -> None:
        granted = self.site.grants.expect(token)
        try:
            while not await self.site.broker.state.lock(self.delivery, token, self.site.worker):
                try:
                    await asyncio.wait_for(granted.wait(), _ASKED_AGAIN_AFTER_S)
                except asyncio.TimeoutError:
                    continue
                return
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(token, None))
            raise
        except BrokerError:
            self.site.locks.pass_on(self.delivery.run_id, None, None)
            raise
        finally:
            self.site.grants.forget(token)

    async def _forsake(self, waiter: Waiter, token: str) -> None:
        """Give back what is about to be handed on to us."""
        await asyncio.wait([waiter.turn])
        await self._give_back(token, waiter.turn.result())

    async def _give_back(self, token: str, state: dict[str, bytes] | None) -> None:
        """Drop the lock, or the wait for it; the state is as it was, if it is known."""
        await self._pass_on(partial(self.site.broker.state.unlock, self.delivery.run_id, token), state)

    async def _pass_on(
        self, giving: Callable[[Mapping[str, str] | None], Awaitable[str]], state: dict[str, bytes] | None
    ) -> str:
        """Give the lock back, and let the next one of this worker go on."""
        run_id, lines, word = self.delivery.run_id, self.site.locks, ""
        next_one = lines.first(run_id)
        try:
            word = await giving(None if next_one is None else next_one.ask)
        finally:
            lines.pass_on(run_id, next_one, state if word == "yours" else None)
        return word

    async def commit_edit(self, commit: _Commit, after: dict[str, bytes]) -> None:
        """Commit what differs; the lock goes with it."""
        sets = {key: value for key, value in after.items() if commit.before.get(key) != value}
        removed = tuple(key for key in commit.before if key not in after)
        if not sets and not removed:
            self.effects.ids.next_edit(commit.place)
            return
        if self.effects.held:
            self._hold(commit, sets, removed)
            return

        async def giving(next_one: Mapping[str, str] | None) -> str:
            await self.effects.sent()
            name = self.effects.ids.next_edit(commit.place)
            edit: dict[str, object] = {"id": name, "token": commit.token, "dels": removed, "sets": list(sets.items())}
            return (await self._ask(edit if next_one is None else {**edit, "after": next_one})).word

        commit.released = True
        word = await self._pass_on(giving, after)
        if word == "lost":
            raise self._lock_lost(commit.token, "the lock of edit_state was lost; the change was not written")
        if word == "seen":
            await asyncio.shield(self.site.broker.state.unlock(self.delivery.run_id, commit.token))

    def _hold(self, commit: _Commit, sets: dict[str, bytes], removed: tuple[str, ...]) -> None:
        """Keep the change, and the lock, until the end of the attempt; others of this worker ask the server for it."""
        if self._held_token is None:
            self._held_token, commit.released = commit.token, True
            self.site.locks.pass_on(self.delivery.run_id, None, None)
        self._overlay |= {**sets, **dict.fromkeys(removed)}
        held_sets = {key: value for key, value in self._overlay.items() if value is not None}
        held_removed = tuple(key for key, value in self._overlay.items() if value is None)
        edit = StateEdit(token=self._held_token, place="held", sets=held_sets, removed=held_removed)
        self.effects.replace_held("edit", edit)


@dataclass(slots=True)
class _Commit:
    """What an edit is committed with.

    Attributes:
        released: the lock is not to be given back any more.
    """

    state: StepState
    token: str
    place: str
    before: dict[str, bytes]
    released: bool = False

    async def __call__(self, after: dict[str, bytes]) -> None:
        await self.state.commit_edit(self, after)


def _refuse_inside_edit() -> None:
    if _editing.get():
        raise RuntimeError("writer called inside edit_state: change the state that the block was given")
