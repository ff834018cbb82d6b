"""Payloads with a signature behind them, where processes share a key: who only reaches the server cannot make one.

A signed payload has the bit ``SIGNED`` in its first byte, and behind everything else four bytes that name the key and
the first 16 of HMAC-SHA256 over all bytes before these. Blobs have no signature: what refers to them is signed and
names them by the hash of their content.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from broker_wf.errors import DecodeError
from broker_wf.events import Event
from broker_wf.wire.blobs import BlobCache, Encoded, Fetched, process_blobs
from broker_wf.wire.codec import Codec
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


class _Key(NamedTuple):
    """A key, and what names it in payloads."""

    id: bytes
    secret: bytes


class Signer:
    """Signs with the first of some keys, and knows what any of them has signed."""

    def __init__(self, text: str) -> None:
        """Read keys that are joined by commas; ``unsigned`` may be one of them."""
        words = [word.strip() for word in text.split(",")]
        keys = [None if word == UNSIGNED else _key(word) for word in words]
        self._first = keys[0]
        self._secrets = {key.id: key.secret for key in keys if key is not None}
        self._takes_unsigned = None in keys

    def signed(self, payload: bytes) -> bytes:
        """The payload as it travels."""
        if self._first is None:
            return payload
        text = b"".join((bytes([payload[0] | SIGNED]), payload[1:], self._first.id))
        return text + _mac(self._first.secret, text)

    def opened(self, data: bytes, what: str) -> bytes:
        """The payload without its signature.

        Raises:
            DecodeError: it has none, or not that of one of the keys.
        """
        if not is_signed(data):
            if self._takes_unsigned:
                return data
            raise DecodeError(what, f"it is not signed, and this process has a {SETTING}")
        text, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
        secret = self._secrets.get(text[-KEY_ID_BYTES:])
        if secret is None:
            raise DecodeError(what, f"it is signed by a key that is not in the {SETTING} of this process")
        if not hmac.compare_digest(mac, _mac(secret, text)):
            raise DecodeError(what, f"it was changed: it is not what a key in {SETTING} has signed")
        return unsigned(data)


class SigningCodec(Codec):
    """A codec that signs all it writes, and reads nothing else."""

    def __init__(self, registry: EventRegistry, limits: Limits, signer: Signer, blobs: BlobCache) -> None:
        super().__init__(registry, limits, blobs)
        self._signer = signer

    def encode_event(self, event: Event) -> Encoded:
        """As the codec has it."""
        payload, blobs = super().encode_event(event)
        return Encoded(self._signer.signed(payload), blobs)

    def encode_value(self, value: object, *, what: str) -> bytes:
        """As the codec has it."""
        return self._signer.signed(super().encode_value(value, what=what))

    def encode_field(self, model: object, name: str, *, what: str) -> bytes | None:
        """As the codec has it."""
        payload = super().encode_field(model, name, what=what)
        return None if payload is None else self._signer.signed(payload)

    def _decode(self, data: bytes, what: str, blobs: Fetched) -> object:
        if len(data) <= self.limits.max_bytes + SIGNATURE_BYTES:
            # What is longer is refused as it is by any codec.
            data = self._signer.opened(data, what)
        return super()._decode(data, what, blobs)

    def _part(self, row: Reference, blobs: Fetched) -> object:
        sealed = None if row.hash in blobs.values else blobs.sealed.get(row.hash)
        if sealed is not None and hash_of(unseal(sealed, self.limits)) != row.hash:
            raise ValueError(f"a blob it refers to was changed: it is not what a key in {SETTING} has signed")
        return super()._part(row, blobs)


def codec_for(registry: EventRegistry, limits: Limits, signing_key: str, blobs: BlobCache = process_blobs) -> Codec:
    """The codec of a process with this ``BROKER_WF_SIGNING_KEY``, which may be empty."""
    if not signing_key:
        return Codec(registry, limits, blobs)
    return SigningCodec(registry, limits, Signer(signing_key), blobs)


def _key(word: str) -> _Key:
    secret = word.encode()
    return _Key(hashlib.sha256(b"broker_wf key id " + secret).digest()[:KEY_ID_BYTES], secret)


def _mac(secret: bytes, text: bytes) -> bytes:
    return hmac.digest(secret, text, "sha256")[:MAC_BYTES]
