"""Events and values to bytes and back: the only module the rest of the library asks."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import msgpack
from pydantic import ValidationError

from broker_wf.errors import DecodeError, EncodeError, LimitExceededError
from broker_wf.events import Event
from broker_wf.wire.blobs import NOTHING_FETCHED, Blob, BlobCache, Encoded, Fetched, process_blobs
from broker_wf.wire.decoder import Decoder
from broker_wf.wire.encoder import Encoder
from broker_wf.wire.envelope import (
    CHEAP_COPY_BYTES,
    PLAIN_HEAD,
    REFERRING,
    Reference,
    references,
    seal,
    seal_referring,
    unseal,
)
from broker_wf.wire.foreign import text_of
from broker_wf.wire.leaves import write_int
from broker_wf.wire.limits import Limits
from broker_wf.wire.refusal import RefusedError, type_name
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.splitting import has_known_part, put_back, split

Move = Callable[..., bytes]
"""Signs bytes anew that go to another place: the bytes, what they are, and the delivery they belong to, if they do."""
EVENT = "an event"
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
_UNENCODABLE = (RefusedError, RuntimeError, ValueError, OverflowError, MemoryError, BufferError)
"""What writing a value of whatever kind may raise."""
_OF_MSGPACK = (UnicodeError, msgpack.UnpackException, msgpack.ExtraData)


class Codec:
    """Writes and reads values whose classes the registry knows. May be used by several threads at once.

    Attributes:
        signs: what it writes, and reads nothing else.
    """

    signs = False

    def __init__(self, registry: EventRegistry, limits: Limits | None = None, blobs: BlobCache = process_blobs) -> None:
        self.registry = registry
        self._blobs, self._known = blobs, blobs.values
        self.limits = limits or Limits()
        self._encoder = Encoder(registry, self.limits)
        self._decoder = Decoder(registry, self.limits)
        self._packers = _Packers()
        self._cheap_bytes = min(CHEAP_COPY_BYTES, self.limits.max_bytes)
        self._small_bytes = min(self.limits.blob_from, self.limits.compress_from, self.limits.max_bytes - 1)

    def at(self, *place: str) -> Codec:
        """The codec for what belongs to a run, or to one of its deliveries: see ``signing``."""
        return self

    def move(self, before: str, after: str) -> Move | None:
        """What takes payloads from one run to another; None: they may go as they are."""
        return None

    def encode_event(self, event: Event) -> Encoded:
        """Write an event: fields, undeclared values, result; not its other private attributes.

        The payload is the same for equal events, whatever was encoded before.

        Raises:
            EncodeError: a value in it has no encoding, or its class is not registered.
            LimitExceededError: it is too large, too deep, or a dict in it has too many keys.
        """
        try:
            tree = self._encoder.tree(event)
            if not (self._known and has_known_part(tree, self._known)):
                body = self._packers.pack(tree)
                if len(body) <= self._small_bytes:
                    return _encoded((PLAIN_HEAD + body, ()))
            return self._split_event(event, tree)
        except _UNENCODABLE as error:
            raise _refusal(error, event, type(event).__name__) from _cause(error)

    def decode_event(self, data: bytes, blobs: Fetched = NOTHING_FETCHED) -> Event:
        """Read an event; validators of its class do not run again.

        Args:
            data: the payload of an encoded event.
            blobs: what ``references`` says that it needs.

        Raises:
            DecodeError: the bytes are malformed, of another version, too large, name a class that is not
                registered, lack a required field, are no event, or a blob is missing: the error names the field.
        """
        value = self._decode(data, EVENT, blobs)
        if not isinstance(value, Event):
            raise DecodeError(EVENT, f"the bytes hold {type_name(type(value))}, which is no event")
        return value

    def encode_value(self, value: object, *, what: str) -> bytes:
        """Write any value of the state.

        Args:
            value: of whatever class.
            what: its name, for the error message, and for the signature if there is one: it is read under this name.

        Raises:
            EncodeError: something in it has no encoding.
            LimitExceededError: it is too large, too deep, or a dict in it has too many keys.
        """
        try:
            tree = self._encoder.tree(value)
            body = self._packers.pack(tree)
        except _UNENCODABLE as error:
            raise _refusal(error, value, what) from _cause(error)
        self._check_size(len(body) + 1, tree, what)
        return seal(body, self.limits)

    def encode_whole(self, event: Event) -> bytes:
        """Write an event whose large parts are to stay in it. Raises as ``encode_value``."""
        return self.encode_value(event, what=type(event).__name__)

    def encode_field(self, model: object, name: str, *, what: str) -> bytes | None:
        """Write a field of the state as its class's own serializer for it writes it; None: the class has none.

        Raises:
            EncodeError: the serializer refused it.
            LimitExceededError: it is too large.
        """
        try:
            tree = self._encoder.field(model, name)
            if tree is None:
                return None
            body = self._packers.pack(tree)
        except _UNENCODABLE as error:
            raise _refusal(error, vars(model)[name], what) from _cause(error)
        self._check_size(len(body) + 1, tree, what)
        return seal(body, self.limits)

    def decode_value(self, data: bytes, *, what: str = "a value") -> object:
        """Read what ``encode_value`` wrote.

        Raises:
            DecodeError: as for ``decode_event``.
        """
        return self._decode(data, what, NOTHING_FETCHED)

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

    def _split_event(self, event: Event, tree: object) -> Encoded:
        """Finish an event that is not small, or has a part that was a blob before."""
        parts, blobs, away_bytes = split(tree, self._packers.pack, self.limits, self._blobs)
        body = self._packers.pack(parts)
        self._check_size(len(body) + 1 + away_bytes, tree, type(event).__name__)
        payload = seal_referring(body, blobs, self.limits) if blobs else seal(body, self.limits)
        return Encoded(payload, blobs)

    def _check_size(self, size: int, tree: object, what: str) -> None:
        if size > self.limits.max_bytes:
            raise LimitExceededError(
                f"encoded size of {what}{self._largest_part(tree)} in bytes", size, self.limits.max_bytes
            )

    def _decode(self, data: bytes, what: str, blobs: Fetched) -> object:
        try:
            if data[:1] == PLAIN_HEAD and len(data) <= self._cheap_bytes:
                return self._decoder.value(data[1:])
            body = unseal(data, self.limits)
            if data[0] & REFERRING:
                return self._put_together(data, body, blobs)
            return self._decoder.value(body)
        except _MALFORMED as error:
            raise DecodeError(what, _reason(error)) from error

    def _put_together(self, data: bytes, body: bytes | memoryview, blobs: Fetched) -> object:
        tree = self._decoder.tree(body)
        left_bytes = self.limits.max_bytes - 1 - len(body)
        put_back(tree, references(data), lambda row: self._part(row, blobs), left_bytes)
        return self._decoder.finished(tree)

    def _part(self, row: Reference, blobs: Fetched) -> object:
        """The tree of a part; the very same object for text and bytes. None: its blob is not there."""
        value = blobs.values.get(row.hash)
        sealed = blobs.sealed.get(row.hash)
        if value is not None or sealed is None:
            return value
        body = unseal(sealed, self.limits)
        if len(body) != row.size:
            raise ValueError(f"its blob has {len(body):,} bytes where it should have {row.size:,}")
        tree = self._decoder.tree(body)
        immutable = tree if isinstance(tree, str | bytes) else None
        if immutable is not None:
            blobs.values[row.hash] = immutable
        self._blobs.keep(Blob(hash=row.hash, size=row.size, sealed=sealed), immutable)
        return tree

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


_new_tuple = cast("Callable[..., Encoded]", vars(tuple)["__new__"])
_encoded: Callable[[tuple[bytes, tuple[Blob, ...]]], Encoded] = partial(_new_tuple, Encoded)
"""``Encoded`` without the call of its Python code: it is made once per event."""


def _refusal(error: Exception, value: object, what: str) -> EncodeError | LimitExceededError:
    if isinstance(error, RefusedError):
        return error.error(what)
    kind = type_name(type(value))
    if isinstance(error, RuntimeError):
        # Another thread changed a dict or set meanwhile, or the stack was nearly used up before.
        return EncodeError(what, "", kind, text_of(error))
    return EncodeError(what, "", kind, f"too large to be packed: {text_of(error)}")


def _cause(error: Exception) -> BaseException | None:
    return error.__cause__ if isinstance(error, RefusedError) else error


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
