"""The state of a run as the holder of its handler sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from broker_wf.broker.broker import Broker
from broker_wf.context.paths import split_path
from broker_wf.context.state_store import copy_state_for_edit, create_cleared_state, merge_state
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.core.ids import RunId
from broker_wf.errors import ContextStateError
from broker_wf.wire.codec import Codec
from broker_wf.wire.state import decoded_state, encoded_state, value_at, value_with

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
        broker = await self.broker()
        found = await broker.state.get(self.run_id, path.split(".")[0])
        return value_at(self.codec, self.state_type, path, found.value, default)

    async def set(self, path: str, value: Any) -> None:
        """See ``StateStore``."""
        self._refuse_inside_edit()
        first, broker = split_path(path)[0], await self.broker()
        while True:
            found = await broker.state.get(self.run_id, first)
            key, encoded = value_with(self.codec, self.state_type, path, found.value, value)
            if await broker.state.put(self.run_id, {key: encoded}, (), {key: found.version}):
                return
            await self.clock.sleep_ms(_WRITTEN_AGAIN_AFTER_MS)

    async def get_state(self) -> BaseModel:
        """See ``StateStore``."""
        return (await self._read())[0]

    async def set_state(self, state: BaseModel) -> None:
        """See ``StateStore``."""
        self._refuse_inside_edit()
        async with self._changed() as (current, commit):
            await commit(merge_state(current, state))

    async def clear(self) -> None:
        """See ``StateStore``."""
        self._refuse_inside_edit()
        async with self._changed() as (_, commit):
            await commit(create_cleared_state(self.state_type))

    @asynccontextmanager
    async def edit_state(self) -> AsyncGenerator[BaseModel, None]:
        """See ``StateStore``.

        Raises:
            ContextStateError: a step has changed the state meanwhile; nothing was written.
        """
        self._refuse_inside_edit()
        async with self._changed() as (current, commit):
            edited = copy_state_for_edit(current)
            token = _editing.set(_editing.get() | {self.run_id})
            try:
                yield edited
            finally:
                _editing.reset(token)
            await commit(edited)

    def _refuse_inside_edit(self) -> None:
        if self.run_id in _editing.get():
            raise RuntimeError("writer called inside edit_state: change the state that the block was given")

    @asynccontextmanager
    async def _changed(
        self,
    ) -> AsyncGenerator[tuple[BaseModel, Callable[[BaseModel], Awaitable[None]]], None]:
        current, before, versions = await self._read()

        async def commit(state: BaseModel) -> None:
            after = encoded_state(self.codec, state)
            sets = {key: value for key, value in after.items() if before.get(key) != value}
            removed = [key for key in before if key not in after]
            broker = await self.broker()
            if not await broker.state.put(self.run_id, sets, removed, versions):
                raise ContextStateError("the state was changed by a step meanwhile; nothing was written, try again")

        yield current, commit

    async def _read(self) -> tuple[BaseModel, dict[str, bytes], dict[str, int]]:
        broker = await self.broker()
        stored = await broker.state.all(self.run_id)
        values = {key: one.value for key, one in stored.items() if one.value is not None}
        return (
            decoded_state(self.codec, self.state_type, values),
            values,
            {k: v.version for k, v in stored.items()},
        )
