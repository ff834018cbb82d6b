"""The state of a run: what every store can do, and the store of a context that has not run yet."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import Error as CopyError
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast, runtime_checkable

from pydantic import BaseModel, ValidationError
from typing_extensions import TypeVar

from broker_wf.context.paths import MAX_DEPTH, get_by_path, set_by_path, split_path
from broker_wf.events import DictLikeModel
from broker_wf.events.dict_like import is_dict_like
from broker_wf.later import Later

if TYPE_CHECKING:
    import asyncio

    from broker_wf.context import changes
else:  # To name a state takes neither.
    asyncio, changes = Later("asyncio"), Later("broker_wf.context.changes")

__all__ = [
    "MAX_DEPTH",
    "MODEL_T",
    "DictState",
    "InMemoryStateStore",
    "StateStore",
    "UnserializableKeyWarning",
    "copy_state_for_edit",
    "create_cleared_state",
    "get_by_path",
    "infer_state_type",
    "merge_state",
    "read_state",
    "set_by_path",
]

_MAY_FAIL_TO_ENCODE = ("memory",)


class UnserializableKeyWarning(Warning):
    """A value that is known to hold live objects was left out of a saved state."""


class DictState(DictLikeModel):
    """A state without declared fields: any key, as attribute or item."""

    __init__ = DictLikeModel.__init__


MODEL_T = TypeVar("MODEL_T", bound=BaseModel, default=DictState)


@runtime_checkable
class StateStore(Protocol[MODEL_T]):
    """A run's state. Reads never wait and see what was last committed; writes are exclusive.

    Attributes:
        state_type: the class of the state.
    """

    state_type: type[MODEL_T]

    async def get(self, path: str, default: Any = ...) -> Any:
        """Return the value at a dotted path.

        Raises:
            ValueError: there is none, and no default is given.
        """
        ...

    async def set(self, path: str, value: Any) -> None:
        """Write the value at a dotted path; dicts are made on the way.

        Raises:
            ValueError: the path is empty or has more than 1000 segments.
            RuntimeError: called inside an ``edit_state`` block.
        """
        ...

    async def increment(self, path: str, by: Any = 1) -> Any:
        """Raise the number at a dotted path, at once and exactly, and return what it is then.

        Nothing there counts as 0. As every change of a step it is made once, however often the step begins.

        Raises:
            TypeError: no number stands there, or ``by`` is none; nothing was written.
            ValueError: as for ``set``.
            RuntimeError: called inside an ``edit_state`` block.
        """
        ...

    async def append(self, path: str, *values: Any) -> int:
        """Put values behind the list at a dotted path, as ``increment`` raises a number; return its length.

        Raises:
            TypeError: no list stands there; nothing was written.
        """
        ...

    async def add(self, path: str, *values: Any) -> int:
        """Put values into the set at a dotted path, as ``increment`` raises a number; return how many were new.

        Raises:
            TypeError: no set stands there, or a value cannot be in one; nothing was written.
        """
        ...

    async def get_state(self) -> MODEL_T:
        """Return a shallow copy of the state."""
        ...

    async def set_state(self, state: MODEL_T) -> None:
        """Replace the state, or merge into it if ``state`` is of a parent class.

        Raises:
            ValueError: its class is neither; nothing was written.
            RuntimeError: called inside an ``edit_state`` block.
        """
        ...

    async def clear(self) -> None:
        """Go back to the defaults of the state's class.

        Raises:
            ValueError: a field has no default; nothing was written.
            RuntimeError: called inside an ``edit_state`` block.
        """
        ...

    def edit_state(self) -> AbstractAsyncContextManager[MODEL_T]:
        """Change an isolated copy of the state, exclusively.

        It is committed at the end of the block, and dropped if the block raises.

        Raises:
            RuntimeError: called inside an ``edit_state`` block.
        """
        ...


class _HasState(Protocol):
    """A workflow, as far as its state is concerned."""

    def get_state_class(self) -> type[BaseModel]:
        """Return the class of the run's state.

        Raises:
            ValueError: the annotations do not agree.
        """
        ...


def infer_state_type(workflow: _HasState) -> type[BaseModel]:
    """Return the class of the state of a workflow's runs: the most derived of all ``Context[S]``, else ``DictState``.

    Raises:
        ValueError: the annotations do not agree.
    """
    return workflow.get_state_class()


class StateReader(Protocol):
    """Turns text into a value."""

    def deserialize(self, value: str) -> Any:
        """Decode.

        Raises:
            ValueError: the text is no encoding.
        """
        ...


class StateSerializer(Protocol):
    """Turns a value into text."""

    def serialize(self, value: Any) -> str:
        """Encode.

        Raises:
            ValueError: the value has no encoding.
        """
        ...


def merge_state(current_state: MODEL_T, incoming: BaseModel) -> MODEL_T:
    """Return what the state is after ``set_state``.

    Raises:
        ValueError: the classes do not agree.
    """
    cls = type(current_state)
    if isinstance(incoming, cls):
        return incoming
    if not issubclass(cls, type(incoming)):
        raise ValueError(  # noqa: TRY004 - the peer's
            f"State must be of type {cls.__name__} or a parent type, got {type(incoming).__name__}"
        )
    return cls.model_validate({**_contents(current_state), **_contents(incoming)})


def _contents(state: BaseModel) -> dict[str, Any]:
    """Fields and undeclared values as they are: dumped, nested models would lose their classes."""
    declared = dict(state.__dict__)
    return {**declared, **state.to_dict()} if is_dict_like(state) else declared


def read_state(payload: dict[str, Any], reader: StateReader, state_type: type[BaseModel]) -> BaseModel:
    """Return the state that ``InMemoryStateStore.to_dict`` encoded.

    Args:
        state_type: of a state without declared fields.

    Raises:
        ValueError: the payload is not of that form; what the reader raises.
    """
    content = payload.get("state_data")
    if isinstance(content, str):
        return reader.deserialize(content)
    keyed = cast("dict[str, Any]", content).get("_data") if isinstance(content, dict) else None
    if not isinstance(keyed, dict):
        raise ValueError("it has no 'state_data' as to_dict() writes it")  # noqa: TRY004 - a value read from outside
    state = state_type() if issubclass(state_type, DictState) else DictState()
    for key, text in cast("dict[str, str]", keyed).items():
        state[key] = reader.deserialize(text)
    return state


def create_cleared_state(state_type: type[MODEL_T]) -> MODEL_T:
    """Make a state of defaults.

    Raises:
        ValueError: a field has none.
    """
    try:
        return state_type()
    except ValidationError:
        raise ValueError("State must have defaults for all fields") from None


def copy_state_for_edit(state: MODEL_T) -> MODEL_T:
    """Copy a state in depth; values that cannot be copied, and fields with ``exclude=True``, are shared."""
    copied = state.model_copy()
    kept = {name for name, field in type(state).model_fields.items() if field.exclude}
    memo: dict[int, Any] = {}
    for part in (copied.__dict__, copied.__pydantic_private__, copied.__pydantic_extra__):
        contents = cast("dict[str, Any]", part or {})
        for name, value in contents.items():
            if name not in kept:
                contents[name] = _copied_value(value, memo)
    return copied


def _copied_value(value: Any, memo: dict[int, Any]) -> Any:
    if type(value) is dict:
        entries = cast("dict[Any, Any]", value)
        return {key: _copied_value(entry, memo) for key, entry in entries.items()}
    try:
        return deepcopy(value, memo)
    except (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError, CopyError):
        return value


def _encoded_keys(state: DictState, serializer: StateSerializer) -> dict[str, Any]:
    encoded: dict[str, str] = {}
    for key, value in state.items():
        try:
            encoded[key] = serializer.serialize(value)
        except ValueError as error:
            if key not in _MAY_FAIL_TO_ENCODE:
                raise ValueError(f"Failed to serialize state value for key {key}: {error}") from error
            warnings.warn(
                f"state key {key!r} cannot be saved and was left out; set it again after loading",
                UnserializableKeyWarning,
                stacklevel=3,
            )
    return {"_data": encoded}


class InMemoryStateStore(Generic[MODEL_T]):
    """The state of a context that has not run yet; it becomes the state of its run.

    ``get`` returns the value itself, not a copy.
    """

    def __init__(self, initial_state: MODEL_T) -> None:
        self._state = initial_state
        self.state_type: type[MODEL_T] = type(initial_state)
        self._lock: asyncio.Lock | None = None
        self._editor: asyncio.Task[Any] | None = None

    @property
    def state(self) -> MODEL_T:
        """The state itself, as last committed."""
        return self._state

    async def get(self, path: str, default: Any = ...) -> Any:
        """See ``StateStore``."""
        return get_by_path(self._state, path, default)

    async def set(self, path: str, value: Any) -> None:
        """See ``StateStore``."""
        async with self._writing():
            self._state = set_by_path(self._state, path, value)

    async def increment(self, path: str, by: Any = 1) -> Any:
        """See ``StateStore``."""
        return await self._changed(path, changes.increment(by))

    async def append(self, path: str, *values: Any) -> int:
        """See ``StateStore``."""
        return await self._changed(path, changes.append(values))

    async def add(self, path: str, *values: Any) -> int:
        """See ``StateStore``."""
        return await self._changed(path, changes.add(values))

    async def _changed(self, path: str, change: changes.Change) -> Any:
        split_path(path)
        async with self._writing():
            new, result = change.made(path, get_by_path(self._state, path, changes.ABSENT))
            self._state = set_by_path(self._state, path, new)
            return result

    async def get_state(self) -> MODEL_T:
        """See ``StateStore``."""
        return self._state.model_copy()

    async def set_state(self, state: MODEL_T) -> None:
        """See ``StateStore``."""
        async with self._writing():
            self._state = merge_state(self._state, state)

    async def clear(self) -> None:
        """See ``StateStore``."""
        async with self._writing():
            self._state = create_cleared_state(type(self._state))

    @asynccontextmanager
    async def edit_state(self) -> AsyncGenerator[MODEL_T, None]:
        """See ``StateStore``."""
        async with self._writing():
            edited = copy_state_for_edit(self._state)
            yield edited
            self._state = edited

    def to_dict(self, serializer: StateSerializer) -> dict[str, Any]:
        """Encode the state, with what is needed to read it again.

        Raises:
            ValueError: a value has no encoding. Under the key ``memory`` it is left out with a warning.
        """
        state = self._state
        keyed = isinstance(state, DictState)
        return {
            "store_type": "in_memory",
            "state_type": type(state).__name__,
            "state_module": type(state).__module__,
            "state_data": _encoded_keys(state, serializer) if keyed else serializer.serialize(state),
        }

    @classmethod
    def from_dict(cls, serialized_state: dict[str, Any], serializer: StateReader) -> InMemoryStateStore[MODEL_T]:
        """Return a store of the state that ``to_dict`` encoded; of an empty one for an empty dict.

        Raises:
            ValueError: the dict is not of that form.
        """
        found = read_state(serialized_state, serializer, DictState) if serialized_state else DictState()
        return cls(cast("MODEL_T", found))

    @asynccontextmanager
    async def _writing(self) -> AsyncGenerator[None, None]:
        task = asyncio.current_task()
        if task is not None and self._editor is task:
            raise RuntimeError("writer called inside edit_state: change the state that the block was given")
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            self._editor = task
            try:
                yield
            finally:
                self._editor = None
