"""Payloads with a signature behind them, where processes share a key: who only reaches the server cannot make one.

A signed payload has the bit ``SIGNED`` in its first byte, and behind everything else four bytes that name the key and
the first 16 of HMAC-SHA256 over its place and all bytes before these. The place is namespace, run, for what is a
delivery's own that, and what the payload is: an event, or this value of the state. It does not travel; who reads
knows it. Blobs have no signature: what refers to them is signed and names them by the hash of their content.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import struct
from typing import NamedTuple

from broker_wf.errors import DecodeError
from broker_wf.events import Event
from broker_wf.wire.blobs import BlobCache, Encoded, Fetched, process_blobs
from broker_wf.wire.codec import EVENT, Codec, Move
from broker_wf.wire.envelope import (
    KEY_ID_BYTES,
    MAC_BYTES,
    SIGNATURE_BYTES,
    SIGNED,
    Reference,
    is_signed,
    unseal,
    unsigned,
)
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.splitting import hash_of

UNSIGNED = "unsigned"
"""In place of a key: payloads without a signature, while keys are introduced or given up."""
SETTING = "BROKER_WF_SIGNING_KEY"
SAVED = ""
"""In place of a run: a context that was saved, and may go on in another namespace."""
_LENGTH = struct.Struct(">I")


class _Key(NamedTuple):
    """A key, and what names it in payloads."""

    id: bytes
    secret: bytes


class Signer:
    """Signs with the first of some keys, and knows what any of them has signed."""

    def __init__(self, text: str, namespace: str) -> None:
        """Read keys that are joined by commas; ``unsigned`` may be one of them."""
        words = [word.strip() for word in text.split(",")]
        keys = [None if word == UNSIGNED else _key(word) for word in words]
        self._first = keys[0]
        self._secrets = {key.id: key.secret for key in keys if key is not None}
        self._takes_unsigned = None in keys
        self._namespace = namespace

    def place(self, run: str, *inside: str) -> str:
        """A run, or a delivery of it, as signatures have it; ``SAVED`` is no run."""
        return "\0".join((self._namespace if run else "", run, *inside, ""))

    def signed(self, payload: bytes, place: str) -> bytes:
        """The payload as it travels.

        Args:
            place: with what it is behind it.
        """
        if self._first is None:
            return payload
        text = b"".join((bytes([payload[0] | SIGNED]), payload[1:], self._first.id))
        return text + _mac(self._first.secret, place, text)

    def opened(self, data: bytes, place: str, what: str) -> bytes:
        """The payload without its signature.

        Raises:
            DecodeError: it has none, or not that of one of the keys for this place.
        """
        if not is_signed(data):
            if self._takes_unsigned:
                return data
            raise DecodeError(what, f"it is not signed, and this process has a {SETTING}")
        secret = self._secrets.get(data[-SIGNATURE_BYTES:-MAC_BYTES])
        if secret is None:
            raise DecodeError(what, f"it is signed by a key that is not in the {SETTING} of this process")
        if not hmac.compare_digest(data[-MAC_BYTES:], _mac(secret, place, data[:-MAC_BYTES])):
            where = " ".join(filter(None, place.split("\0")[1:-1]))
            raise DecodeError(
                what, f"it is not what a key in {SETTING} has signed for {where}: changed, or brought from elsewhere"
            )
        return unsigned(data)

    def move(self, before: str, after: str) -> Move:
        """See ``Codec``. What was not signed for a place of the one run stays as it is, and is refused in the other."""

        def moved(data: bytes, what: str = EVENT, *inside: str) -> bytes:
            try:
                payload = self.opened(data, self.place(before, *inside) + what, what)
            except DecodeError:
                return data
            return self.signed(payload, self.place(after, *inside) + what) if is_signed(data) else data

        return moved


class SigningCodec(Codec):
    """A codec that signs all it writes, and reads nothing else; only :meth:`at` a place."""

    signs = True

    def __init__(self, registry: EventRegistry, limits: Limits, signer: Signer, blobs: BlobCache) -> None:
        super().__init__(registry, limits, blobs)
        self._signer = signer
        self._at: str | None = None

    def at(self, *place: str) -> Codec:
        """As the codec has it."""
        made = copy.copy(self)
        vars(made)["_at"] = self._signer.place(*place)
        return made

    def move(self, before: str, after: str) -> Move | None:
        """As the codec has it."""
        return self._signer.move(before, after)

    def encode_event(self, event: Event) -> Encoded:
        """As the codec has it."""
        payload, blobs = super().encode_event(event)
        return Encoded(self._signed(payload, EVENT), blobs)

    def encode_value(self, value: object, *, what: str) -> bytes:
        """As the codec has it."""
        return self._signed(super().encode_value(value, what=what), what)

    def encode_whole(self, event: Event) -> bytes:
        """As the codec has it."""
        return self._signed(super().encode_value(event, what=type(event).__name__), EVENT)

    def encode_field(self, model: object, name: str, *, what: str) -> bytes | None:
        """As the codec has it."""
        payload = super().encode_field(model, name, what=what)
        return None if payload is None else self._signed(payload, what)

    def _decode(self, data: bytes, what: str, blobs: Fetched) -> object:
        if len(data) <= self.limits.max_bytes + SIGNATURE_BYTES:
            # What is longer is refused as it is by any codec.
            data = self._signer.opened(data, self._place + what, what)
        return super()._decode(data, what, blobs)

    def _signed(self, payload: bytes, what: str) -> bytes:
        return self._signer.signed(payload, self._place + what)

    @property
    def _place(self) -> str:
        if self._at is None:
            raise RuntimeError("signatures are for a place, and this codec has none: ask it for one with at()")
        return self._at

    def _part(self, row: Reference, blobs: Fetched) -> object:
        sealed = None if row.hash in blobs.values else blobs.sealed.get(row.hash)
        if sealed is not None and hash_of(unseal(sealed, self.limits)) != row.hash:
            raise ValueError(f"a blob it refers to was changed: it is not what a key in {SETTING} has signed")
        return super()._part(row, blobs)


def signer_for(signing_key: str, namespace: str) -> Signer | None:
    """What signs in a process with this ``BROKER_WF_SIGNING_KEY``; None: it is empty."""
    return Signer(signing_key, namespace) if signing_key else None


def codec_for(
    registry: EventRegistry, limits: Limits, signing_key: str, namespace: str, blobs: BlobCache = process_blobs
) -> Codec:
    """The codec of a process with this ``BROKER_WF_SIGNING_KEY``, which may be empty."""
    signer = signer_for(signing_key, namespace)
    return Codec(registry, limits, blobs) if signer is None else SigningCodec(registry, limits, signer, blobs)


def _key(word: str) -> _Key:
    secret = word.encode()
    return _Key(hashlib.sha256(b"broker_wf key id " + secret).digest()[:KEY_ID_BYTES], secret)


def _mac(secret: bytes, place: str, text: bytes) -> bytes:
    where = place.encode("utf-8", "surrogatepass")
    return hmac.digest(secret, b"".join((_LENGTH.pack(len(where)), where, text)), "sha256")[:MAC_BYTES]
