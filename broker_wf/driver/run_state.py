"""The state of a run as the holder of its handler sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from broker_wf.broker.broker import Broker
from broker_wf.broker.changes import Changed
from broker_wf.context.changes import Change, add, append, increment
from broker_wf.context.paths import get_by_path, split_path
from broker_wf.context.state_store import copy_state_for_edit
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.core.ids import RunId
from broker_wf.errors import ContextStateError
from broker_wf.wire.codec import Codec
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

_WRITTEN_AGAIN_AFTER_MS = 20
"""While a step edits the state, nobody else may write it."""
_editing: ContextVar[frozenset[RunId]] = ContextVar("editing_runs", default=frozenset())


@dataclass(slots=True, kw_only=True)
class RunStateStore:
    """Reads see what was last committed; a write that meets another one is refused or repeated, never lost.

    Attributes:
        broker: asked for at each call, once the run has been submitted.
    """

    run_id: RunId
    state_type: type[BaseModel]
    codec: Codec
    broker: Callable[[], Awaitable[Broker]]
    clock: Clock = field(default_factory=SystemClock)

    async def get(self, path: str, default: Any = ...) -> Any:
        """See ``StateStore``. What is returned is a copy."""
        if not path:
            return await self.get_state()
        first, broker = path.split(".")[0], await self.broker()
        found = await broker.state.get(self.run_id, first)
        if found.value is None and may_be_of_subclass(self.state_type, first):
            return get_by_path(await self.get_state(), path, default)
        return value_at(self.codec, self.state_type, path, found.value, default)

    async def set(self, path: str, value: Any) -> None:
        """See ``StateStore``."""
        self._refuse_inside_edit()
        first, broker = split_path(path)[0], await self.broker()
        while True:
            found = await broker.state.get(self.run_id, first)
            cls = await self._class_with(first)
            key, encoded = value_with(self.codec, cls, path, found.value, value)
            if await broker.state.put(self.run_id, {key: encoded}, (), {key: found.version}):
                return
            await self.clock.sleep_ms(_WRITTEN_AGAIN_AFTER_MS)

    async def increment(self, path: str, by: Any = 1) -> Any:
        """See ``StateStore``."""
        return await self._grown(path, increment(by))

    async def append(self, path: str, *values: Any) -> int:
        """See ``StateStore``."""
        return await self._grown(path, append(values))

    async def add(self, path: str, *values: Any) -> int:
        """See ``StateStore``."""
        return await self._grown(path, add(values))

    async def _grown(self, path: str, change: Change) -> Any:
        """Make a change on the server, or work it out where the server cannot: at a class, or if it must be refused."""
        self._refuse_inside_edit()
        plan, broker = change_in_place(self.codec, self.state_type, path, change), await self.broker()
        done = Changed("hard") if plan is None else await broker.state.change_from_outside(self.run_id, plan)
        while done.word not in ("ok", "seen"):
            if done.word == "locked":
                await self.clock.sleep_ms(_WRITTEN_AGAIN_AFTER_MS)
            done = await broker.state.change_from_outside(self.run_id, await self._worked_out(path, change))
        return result_of_change(self.codec, done.result)

    async def _worked_out(self, path: str, change: Change) -> dict[str, object]:
        first = path.split(".")[0]
        found = await (await self.broker()).state.get(self.run_id, first)
        cls = await self._class_with(first)
        key, value, result = value_changed(self.codec, cls, path, found.value, change)
        encoded = change_result(self.codec, result)
        return {"key": key, "value": value, "version": found.version, "result": encoded}

    async def get_state(self) -> BaseModel:
        """See ``StateStore``."""
        return decoded_state(self.codec, self.state_type, (await self._read())[0])

    async def set_state(self, state: BaseModel) -> None:
        """See ``StateStore``."""
        self._refuse_inside_edit()
        async with self._changed() as (before, commit):
            await commit(replaced_state(self.codec, self.state_type, before, state))

    async def clear(self) -> None:
        """See ``StateStore``."""
        self._refuse_inside_edit()
        async with self._changed() as (before, commit):
            await commit(cleared_state(self.codec, self.state_type, before))

    @asynccontextmanager
    async def edit_state(self) -> AsyncGenerator[BaseModel, None]:
        """See ``StateStore``.

        Raises:
            ContextStateError: a step has changed the state meanwhile; nothing was written.
        """
        self._refuse_inside_edit()
        async with self._changed() as (before, commit):
            edited = copy_state_for_edit(decoded_state(self.codec, self.state_type, before))
            token = _editing.set(_editing.get() | {self.run_id})
            try:
                yield edited
            finally:
                _editing.reset(token)
            await commit(encoded_state(self.codec, self.state_type, edited))

    def _refuse_inside_edit(self) -> None:
        if self.run_id in _editing.get():
            raise RuntimeError("writer called inside edit_state: change the state that the block was given")

    @asynccontextmanager
    async def _changed(
        self,
    ) -> AsyncGenerator[tuple[dict[str, bytes], Callable[[dict[str, bytes]], Awaitable[None]]], None]:
        before, versions = await self._read()

        async def commit(after: dict[str, bytes]) -> None:
            sets = {key: value for key, value in after.items() if before.get(key) != value}
            removed = [key for key in before if key not in after]
            broker = await self.broker()
            if not await broker.state.put(self.run_id, sets, removed, versions):
                raise ContextStateError("the state was changed by a step meanwhile; nothing was written, try again")

        yield before, commit

    async def _class_with(self, key: str) -> StateClass:
        """The class that knows the key: it need not be the declared one."""
        if not may_be_of_subclass(self.state_type, key):
            return self.state_type
        named = await (await self.broker()).state.get(self.run_id, CLASS_KEY)
        return class_in(self.codec, self.state_type, {} if named.value is None else {CLASS_KEY: named.value})

    async def _read(self) -> tuple[dict[str, bytes], dict[str, int]]:
        broker = await self.broker()
        stored = await broker.state.all(self.run_id)
        values = {key: one.value for key, one in stored.items() if one.value is not None}
        return values, {key: one.version for key, one in stored.items()}
