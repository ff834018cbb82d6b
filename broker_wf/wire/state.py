"""A run's state and its top-level keys: the model on one side, encoded values on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel

from broker_wf.context.changes import ABSENT, Change
from broker_wf.context.paths import get_by_path, get_in, set_by_path, split_path
from broker_wf.context.state_store import create_cleared_state, merge_state
from broker_wf.errors import DecodeError, EncodeError
from broker_wf.events import DictLikeModel
from broker_wf.events.dict_like import is_dict_like
from broker_wf.wire.classes import derives, is_class
from broker_wf.wire.codec import Codec
from broker_wf.wire.envelope import PLAIN_HEAD, is_signed
from broker_wf.wire.leaves import SCALARS

StateClass = type[BaseModel]
CLASS_KEY = "\0class"
"""The key that names the class of a state that is of a subclass of the declared one; not there for any other."""
_DEEPEST_IN_PLACE = 50
_CLASS = "the class of the state"
CHANGE_RESULT = "the result of a change of the state"
_LIVE_OBJECTS = "what lives in one process, as clients and locks do, is given to steps as a Resource"


def state_values(state: BaseModel) -> dict[str, object]:
    """The top-level keys of a state: fields, and undeclared values."""
    declared: dict[str, object] = dict(state.__dict__)
    return {**declared, **state.to_dict()} if is_dict_like(state) else declared


def state_of(cls: StateClass, values: Mapping[str, object], *, is_part: bool = False) -> BaseModel:
    """A state with these values; what is missing has its default. Validators do not run again.

    Args:
        is_part: nobody asks for what is missing.

    Raises:
        ValueError: a field that has no default is missing.
    """
    needed = {name for name, field in cls.model_fields.items() if field.is_required()}
    state = cls.model_construct() if needed and (is_part or needed <= values.keys()) else create_cleared_state(cls)
    for key, value in values.items():
        if is_dict_like(state) and key not in cls.model_fields:
            state[key] = value
        else:
            vars(state)[key] = value
    return state


def encoded_state(codec: Codec, cls: StateClass, state: BaseModel) -> dict[str, bytes]:
    """Every key of a state, encoded; and its class, where that is not ``cls``, the declared one.

    Raises:
        EncodeError, LimitExceededError: a value cannot travel; names the key.
        ValueError: a key has a name that is kept for the class.
    """
    encoded = {key: encoded_key(codec, key, value, state) for key, value in state_values(state).items()}
    if type(state) is not cls:
        encoded[CLASS_KEY] = codec.encode_value(type(state), what=_CLASS)
    return encoded


def class_in(codec: Codec, cls: StateClass, values: Mapping[str, bytes]) -> StateClass:
    """The class of a state, given its encoded keys and the declared class.

    Raises:
        DecodeError: it is of a class that is not known here, or is no subclass of the declared one.
    """
    raw = values.get(CLASS_KEY)
    if raw is None:
        return cls
    found = codec.decode_value(raw, what=_CLASS)
    if not is_class(found) or not derives(found, cls):
        raise DecodeError(_CLASS, f"{found!r} is no subclass of {cls.__name__}")
    return cast(StateClass, found)


def replaced_state(codec: Codec, cls: StateClass, before: Mapping[str, bytes], state: BaseModel) -> dict[str, bytes]:
    """Every key after ``set_state``, encoded.

    Raises:
        ValueError: the class of ``state`` is neither that of the state before, nor a parent or child of it.
        EncodeError, LimitExceededError: a value cannot travel; names the key.
    """
    is_first = not before and isinstance(state, cls)
    return encoded_state(codec, cls, state if is_first else merge_state(decoded_state(codec, cls, before), state))


def cleared_state(codec: Codec, cls: StateClass, before: Mapping[str, bytes]) -> dict[str, bytes]:
    """Every key after ``clear``, encoded: the defaults of the class that the state is of.

    Raises:
        ValueError: a field has none.
    """
    return encoded_state(codec, cls, create_cleared_state(class_in(codec, cls, before)))


def name_of_key(key: str) -> str:
    """What the value at a key of the state is called, and signed as."""
    return _CLASS if key == CLASS_KEY else f"state key {key!r}"


def may_be_of_subclass(cls: StateClass, key: str) -> bool:
    """Whether what stands at a key is for the class of the state to say, which may not be the declared one."""
    return key not in cls.model_fields and not issubclass(cls, DictLikeModel)


def encoded_key(codec: Codec, key: str, value: object, state: BaseModel | None = None) -> bytes:
    """One key's value, encoded.

    Args:
        state: what has it as a field, perhaps; a serializer of its own speaks for a value that has no encoding.

    Raises:
        EncodeError, LimitExceededError: it cannot travel; names the key.
        ValueError: the key is kept for the class of the state.
    """
    if key == CLASS_KEY:
        raise ValueError(f"the state key {key!r} is kept for the library")
    try:
        return codec.encode_value(value, what=name_of_key(key))
    except EncodeError as error:
        written = None if state is None else codec.encode_field(state, key, what=name_of_key(key))
        if written is not None:
            return written
        reason = f"{error.reason}; {_LIVE_OBJECTS}"
        raise EncodeError(error.event, error.path, error.type_name, reason) from error.__cause__


def decoded_state(codec: Codec, cls: StateClass, values: Mapping[str, bytes]) -> BaseModel:
    """A state from its encoded keys, of the declared class or of the one they name."""
    found = class_in(codec, cls, values)
    named = {key: raw for key, raw in values.items() if key != CLASS_KEY}
    return state_of(found, {key: codec.decode_value(raw, what=name_of_key(key)) for key, raw in named.items()})


def value_at(codec: Codec, cls: StateClass, path: str, raw: bytes | None, default: object) -> object:
    """What stands at a dotted path, given the encoded value of its first segment; None if that was never set.

    Raises:
        ValueError: nothing stands there and no default (``...``) is given.
    """
    segments = path.split(".")
    if raw is None:
        return get_by_path(create_cleared_state(cls), path, default)
    value = codec.decode_value(raw, what=name_of_key(segments[0]))
    try:
        return get_in(value, segments[1:])
    except (KeyError, IndexError, AttributeError, TypeError):
        if default is ...:
            raise ValueError(f"Path '{path}' not found in state") from None
        return default


def value_with(codec: Codec, cls: StateClass, path: str, raw: bytes | None, new: object) -> tuple[str, bytes]:
    """The first segment of a path, and its encoded value once ``new`` stands at the path.

    Raises:
        ValueError: the path is empty, too long, or names no field of a typed state.
        EncodeError, LimitExceededError: the value cannot travel.
    """
    key = split_path(path)[0]
    before = {} if raw is None else {key: codec.decode_value(raw, what=name_of_key(key))}
    changed = cast(BaseModel, set_by_path(state_of(cls, before, is_part=True), path, new))
    return key, encoded_key(codec, key, state_values(changed)[key], changed)


def value_changed(
    codec: Codec, cls: StateClass, path: str, raw: bytes | None, change: Change
) -> tuple[str, bytes, object]:
    """The first segment of a path, its encoded value after a change at the path, and the change's result.

    Raises:
        TypeError: what stands at the path is no number, list or set.
        ValueError, EncodeError, LimitExceededError: as :func:`value_with`.
    """
    new, result = change.made(path, value_at(codec, cls, path, raw, ABSENT))
    return *value_with(codec, cls, path, raw, new), result


def change_in_place(codec: Codec, cls: StateClass, path: str, change: Change) -> dict[str, object] | None:
    """A change as ``lib/changes.lua`` makes it by itself; None if only :func:`value_changed` can.

    Raises:
        ValueError: the path is empty or too long.
        EncodeError, LimitExceededError: a value cannot travel.
    """
    key, *rest = split_path(path)
    values = [_item(codec, key, len(rest) + 1, value) for value in change.values]
    if len(rest) > _DEEPEST_IN_PLACE or not all(raw.startswith(PLAIN_HEAD) for raw in values):
        return None
    may_make = key not in cls.model_fields and issubclass(cls, DictLikeModel)
    return {
        "key": key,
        "kind": change.kind,
        "path": rest,
        "values": [raw[1:] for raw in values],
        "make": int(may_make),
        "most_bytes": codec.limits.max_bytes,
        "most_keys": codec.limits.max_keys,
    }


def change_result(codec: Codec, value: object) -> bytes:
    """The result of a change that was worked out here, as the scripts keep it: whole if signed, else as they write it.

    Raises:
        EncodeError, LimitExceededError: it cannot travel.
    """
    raw = codec.encode_value(value, what=CHANGE_RESULT)
    return raw if is_signed(raw) else raw[1:]


def result_of_change(codec: Codec, kept: bytes) -> object:
    """The result of a change, whoever made it.

    Raises:
        DecodeError: it cannot be read, or is not signed where it has to be.
    """
    # Without its first byte it may begin with anything; what begins as what is signed does is then one byte, a number.
    return codec.decode_value(kept if is_signed(kept) else PLAIN_HEAD + kept, what=CHANGE_RESULT)


def _item(codec: Codec, key: str, depth: int, value: object) -> bytes:
    """A value, encoded, that may have so many containers around it."""
    raw = encoded_key(codec, key, value)
    if type(value) not in SCALARS:
        for _ in range(depth):
            value = [value]
        encoded_key(codec, key, value)
    return raw
