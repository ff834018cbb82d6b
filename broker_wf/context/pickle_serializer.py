"""Pickle, for saved contexts whose owner asks for it. Never on the wire: nothing in the library makes one of these."""

from __future__ import annotations

import base64
import binascii
import pickle
from typing import Any

from broker_wf.context.json_serializer import JsonSerializer


class PickleSerializer(JsonSerializer):
    """JSON where a value has one, else pickle in base64.

    Reading pickle executes code: only for text that nobody else can have changed.
    """

    def serialize(self, value: Any) -> str:
        """See ``BaseSerializer``.

        Raises:
            ValueError: the value cannot be pickled either.
        """
        try:
            return super().serialize(value)
        except ValueError:
            try:
                return base64.b64encode(pickle.dumps(value)).decode()
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                raise ValueError(f"Failed to serialize value: {type(value)}: {error}") from error

    def deserialize(self, value: str) -> Any:
        """See ``BaseSerializer``."""
        try:
            pickled = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return super().deserialize(value)
        return pickle.loads(pickled) if pickled[:1] == b"\x80" else super().deserialize(value)


JsonPickleSerializer = PickleSerializer
