"""Events whose classes are not here, as whoever has the classes reads them.

A field with a serializer of its own travels as that writes it, and is validated where it is read. So does each value
here: the class is made up for the occasion, and no value of it has an encoding of another kind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, cast

from pydantic import PlainSerializer, create_model

from broker_wf.core.ids import EventName
from broker_wf.events import Event
from broker_wf.settings import Settings
from broker_wf.wire.blobs import Encoded
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.signing import codec_for


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that has no encoding but that of its field."""

    value: object


def _written(given: _Given) -> object:
    return given.value


_Field = Annotated[object, PlainSerializer(_written)]


def encoded(settings: Settings, name: EventName, values: Mapping[str, object], declared: Collection[str]) -> Encoded:
    """An event of the class that has this name on the wire.

    The payload is the same for equal values, in whatever order.

    Args:
        declared: the fields of the class; what else is given are undeclared values.

    Raises:
        EncodeError, LimitExceededError: it cannot travel.
    """
    fields = [key for key in sorted(values) if key in declared]
    make = cast("Callable[..., type[Event]]", create_model)
    cls = make(name.rpartition(".")[2], __base__=Event, **dict.fromkeys(fields, (_Field, ...)))
    limits = Limits(max_bytes=settings.max_bytes, compress_from=settings.compress_from, blob_from=settings.blob_from)
    event = cls(**{key: _Given(values[key]) if key in fields else values[key] for key in sorted(values)})
    return codec_for(EventRegistry({cls: name}), limits, settings.signing_key).encode_event(event)
