"""Events and values to bytes and back: the only module the rest of the library asks."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Mapping
from typing import cast

import msgpack
from pydantic import ValidationError

from broker_wf.errors import DecodeError, EncodeError, LimitExceededError
from broker_wf.events import Event
from broker_wf.wire.decoder import Decoder
from broker_wf.wire.encoder import Encoder
from broker_wf.wire.envelope import seal, unseal
from broker_wf.wire.foreign import text_of
from broker_wf.wire.leaves import write_int
from broker_wf.wire.limits import Limits
from broker_wf.wire.refusal import RefusedError, type_name
from broker_wf.wire.registry import EventRegistry

_DATA = "_data"
_KEPT_BUFFER_BYTES = 1024 * 1024
_MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
    msgpack.UnpackException,
)
"""What reading bytes of any origin may raise."""
_OF_MSGPACK = (UnicodeError, msgpack.UnpackException, msgpack.ExtraData)


class Codec:
    """Writes and reads values whose classes the registry knows. May be used by several threads at once."""

    def __init__(self, registry: EventRegistry, limits: Limits | None = None) -> None:
        self.registry = registry
        self.limits = limits or Limits()
        self._encoder = Encoder(registry, self.limits)
        self._decoder = Decoder(registry, self.limits)
        self._packers = _Packers()

    def encode_event(self, event: Event) -> bytes:
        """Write an event: fields, undeclared values, result; not its other private attributes.

        Raises:
            EncodeError: a value in it has no encoding, or its class is not registered.
            LimitExceededError: it is too large, too deep, or a dict in it has too many keys.
        """
        return self._encode(event, type(event).__name__)

    def decode_event(self, data: bytes) -> Event:
        """Read an event; validators of its class do not run again.

        Raises:
            DecodeError: the bytes are malformed, of another version, too large, name a class that is not
                registered, lack a required field, or are no event.
        """
        value = self._decode(data, "an event")
        if not isinstance(value, Event):
            raise DecodeError("an event", f"the bytes hold {type_name(type(value))}, which is no event")
        return value

    def encode_value(self, value: object, *, what: str) -> bytes:
        """Write any value: of the state, or a result.

        Args:
            value: of whatever class.
            what: its name for the error message.

        Raises:
            EncodeError: something in it has no encoding.
            LimitExceededError: it is too large, too deep, or a dict in it has too many keys.
        """
        return self._encode(value, what)

    def decode_value(self, data: bytes, *, what: str = "a value") -> object:
        """Read what ``encode_value`` wrote.

        Raises:
            DecodeError: as for ``decode_event``.
        """
        return self._decode(data, what)

    def validate_event(self, name: str, values: Mapping[str, object]) -> Event:
        """Make an event from values of outside, fully validated; ``_data`` may hold undeclared ones.

        Raises:
            DecodeError: no event has this name, or the values do not fit it.
        """
        cls = self.registry.class_named(name)
        if cls is None or not issubclass(cls, Event):
            raise DecodeError(f"event {name!r}", "no event class of this name is registered")
        given = _arguments(cls, name, values)
        try:
            return cls(**given)
        except ValidationError as error:
            raise DecodeError(f"event {name!r}", _faults(error)) from error
        except (TypeError, ValueError) as error:
            raise DecodeError(f"event {name!r}", text_of(error)) from error

    def _encode(self, value: object, what: str) -> bytes:
        try:
            tree = self._encoder.tree(value)
            body = self._packers.pack(tree)
        except RefusedError as refusal:
            raise refusal.error(what) from refusal.__cause__
        except (RuntimeError, RecursionError) as error:
            # Another thread changed a dict or set meanwhile, or the stack was nearly used up before.
            raise EncodeError(what, "", type_name(type(value)), text_of(error)) from error
        except (ValueError, OverflowError, MemoryError, BufferError) as error:
            raise EncodeError(what, "", type_name(type(value)), f"too large to be packed: {text_of(error)}") from error
        size = len(body) + 1
        if size > self.limits.max_bytes:
            raise LimitExceededError(
                f"encoded size of {what}{self._largest_part(tree)} in bytes", size, self.limits.max_bytes
            )
        return seal(body, self.limits)

    def _decode(self, data: bytes, what: str) -> object:
        try:
            return self._decoder.value(unseal(data, self.limits))
        except _MALFORMED as error:
            raise DecodeError(what, _reason(error)) from error

    def _largest_part(self, tree: object) -> str:
        """Name the field that takes most of an event's bytes, and its type."""
        parts = cast("list[object]", tree) if type(tree) is list else []
        if len(parts) < 2 or type(parts[1]) is not dict or not parts[1]:
            return ""
        fields = cast("dict[object, object]", parts[1])
        largest = max(fields, key=lambda name: len(self._packers.pack(fields[name])))
        return f" (most of it {largest}, a {type_name(type(fields[largest]))})"


class _Packers(threading.local):
    """A msgpack packer for each thread: one is not safe for two, and making one costs as much as packing."""

    def __init__(self) -> None:
        self._packer = _new_packer()
        self._lenient = _new_packer("surrogatepass")

    def pack(self, tree: object) -> bytes:
        try:
            packed = self._packer.pack(tree)
        except UnicodeEncodeError:
            # A lone surrogate somewhere. The packer that lets it pass is slower for all text.
            packed = self._lenient.pack(tree)
        if len(packed) > _KEPT_BUFFER_BYTES:
            self._packer, self._lenient = _new_packer(), _new_packer("surrogatepass")
        return packed


def _new_packer(unicode_errors: str | None = None) -> msgpack.Packer:
    return msgpack.Packer(strict_types=True, default=write_int, unicode_errors=unicode_errors)


def _reason(error: BaseException) -> str:
    if isinstance(error, ValueError) and not isinstance(error, _OF_MSGPACK):
        return text_of(error)
    return f"malformed bytes ({type(error).__name__}: {text_of(error)})"


def _arguments(cls: type[Event], name: str, values: Mapping[str, object]) -> dict[str, object]:
    """Give the keyword arguments; private attributes are not for the outside to set."""
    given = dict(values)
    dynamic = given.pop(_DATA, None)
    private = given.keys() & cls.__private_attributes__.keys()
    if private:
        raise DecodeError(f"event {name!r}", f"{min(private)!r} is private")
    if isinstance(dynamic, Mapping):
        given = {**cast("Mapping[str, object]", dynamic), **given}
    return given


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'values'}: {fault['msg']}" for fault in faults)
