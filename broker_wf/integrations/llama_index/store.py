"""The state as their steps are used to it: what was got from it and changed in place is changed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from workflows.context.state_store import DictState as TheirDictState

from broker_wf.context.state_store import DictState, StateStore

_IMMUTABLE = (str, bytes, int, float, bool, type(None))
_NOT_GIVEN = object()

Encode = Callable[[str, object], bytes]


class LiveStore:
    """The state of a run during one execution of a step.

    Upstream hands out the live objects of the state, and its agents change a memory without setting it again. Here each
    value that was got is looked at once more when the step has returned, and set if it is not what it was.
    """

    def __init__(self, store: StateStore[Any], encode: Encode) -> None:
        self._store, self._encode = store, encode
        self._got: dict[str, tuple[object, bytes]] = {}

    async def get(self, path: str, default: Any = ...) -> Any:
        """See ``StateStore``; the same object for the same path, unless another step has set it."""
        value = await self._store.get(path, default=_NOT_GIVEN if default is not ... else ...)
        if value is _NOT_GIVEN:
            return default
        if not path or isinstance(value, _IMMUTABLE):
            return value
        stored = self._encode(path, value)
        if path in self._got:
            held, before = self._got[path]
            # Another step has set it meanwhile, and this one has not changed it: what is stored is right.
            if stored == before or self._encode(path, held) != before:
                return held
        self._got[path] = (value, stored)
        return value

    async def set(self, path: str, value: Any) -> None:
        """See ``StateStore``."""
        self._forget(path)
        await self._store.set(path, value)
        if not isinstance(value, _IMMUTABLE):
            self._got[path] = (value, self._encode(path, value))

    async def increment(self, path: str, by: Any = 1) -> Any:
        """See ``StateStore``."""
        self._forget(path)
        return await self._store.increment(path, by)

    async def append(self, path: str, *values: Any) -> int:
        """See ``StateStore``."""
        self._forget(path)
        return await self._store.append(path, *values)

    async def add(self, path: str, *values: Any) -> int:
        """See ``StateStore``."""
        self._forget(path)
        return await self._store.add(path, *values)

    async def get_state(self) -> Any:
        """See ``StateStore``; a copy."""
        await self.keep()
        return await self._store.get_state()

    async def set_state(self, state: Any) -> None:
        """See ``StateStore``."""
        self._got.clear()
        await self._store.set_state(DictState(**state.to_dict()) if type(state) is TheirDictState else state)

    async def clear(self) -> None:
        """See ``StateStore``."""
        self._got.clear()
        await self._store.clear()

    @property
    def edit_state(self) -> Callable[[], AbstractAsyncContextManager[Any]]:
        """See ``StateStore``. It is the store's own: an edit is known by the line that asks for it."""
        self._got.clear()
        return self._store.edit_state

    async def keep(self) -> None:
        """Set what was changed in place."""
        for path, (value, before) in list(self._got.items()):
            now = self._encode(path, value)
            if now != before:
                await self._store.set(path, value)
                self._got[path] = (value, now)

    def _forget(self, path: str) -> None:
        """What stands above or below the path is not what it was when it was got."""
        for other in list(self._got):
            if other == path or other.startswith(f"{path}.") or path.startswith(f"{other}."):
                del self._got[other]
