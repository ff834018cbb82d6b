"""A run's state and its top-level keys: the model on one side, encoded values on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel

from broker_wf.context.paths import get_by_path, get_in, set_by_path, split_path
from broker_wf.context.state_store import create_cleared_state
from broker_wf.errors import EncodeError
from broker_wf.events.dict_like import is_dict_like
from broker_wf.wire.codec import Codec

StateClass = type[BaseModel]
_LIVE_OBJECTS = "what lives in one process, as clients and locks do, is given to steps as a Resource"


def state_values(state: BaseModel) -> dict[str, object]:
    """The top-level keys of a state: fields, and undeclared values."""
    declared: dict[str, object] = dict(state.__dict__)
    return {**declared, **state.to_dict()} if is_dict_like(state) else declared


def state_of(cls: StateClass, values: Mapping[str, object]) -> BaseModel:
    """A state with these values; what is missing has its default. Validators do not run again."""
    state = create_cleared_state(cls)
    for key, value in values.items():
        if is_dict_like(state) and key not in cls.model_fields:
            state[key] = value
        else:
            vars(state)[key] = value
    return state


def encoded_state(codec: Codec, state: BaseModel) -> dict[str, bytes]:
    """Every key of a state, encoded.

    Raises:
        EncodeError, LimitExceededError: a value cannot travel; names the key.
    """
    return {key: encoded_key(codec, key, value) for key, value in state_values(state).items()}


def encoded_key(codec: Codec, key: str, value: object) -> bytes:
    """One key's value, encoded.

    Raises:
        EncodeError, LimitExceededError: it cannot travel; names the key.
    """
    try:
        return codec.encode_value(value, what=f"state key {key!r}")
    except EncodeError as error:
        reason = f"{error.reason}; {_LIVE_OBJECTS}"
        raise EncodeError(error.event, error.path, error.type_name, reason) from error.__cause__


def decoded_state(codec: Codec, cls: StateClass, values: Mapping[str, bytes]) -> BaseModel:
    """A state from its encoded keys."""
    return state_of(cls, {key: codec.decode_value(raw, what=f"state key {key!r}") for key, raw in values.items()})


def value_at(codec: Codec, cls: StateClass, path: str, raw: bytes | None, default: object) -> object:
    """What stands at a dotted path, given the encoded value of its first segment; None if that was never set.

    Raises:
        ValueError: nothing stands there and no default (``...``) is given.
    """
    segments = path.split(".")
    if raw is None:
        return get_by_path(create_cleared_state(cls), path, default)
    value = codec.decode_value(raw, what=f"state key {segments[0]!r}")
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
    before = {} if raw is None else {key: codec.decode_value(raw, what=f"state key {key!r}")}
    changed = cast(BaseModel, set_by_path(state_of(cls, before), path, new))
    return key, encoded_key(codec, key, state_values(changed)[key])
