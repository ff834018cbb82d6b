"""Events whose classes are not here, as whoever has the classes reads them.

All that is given travels as one value, written as a serializer of its own would, and is validated where it is read. The
class is made up for the occasion, and that value has no encoding of another kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, cast

from pydantic import PlainSerializer, create_model

from broker_wf.core.ids import EventName
from broker_wf.events import Event
from broker_wf.settings import Settings
from broker_wf.wire.blobs import Encoded
from broker_wf.wire.limits import Limits
from broker_wf.wire.parts import WHOLE
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.signing import codec_for


@dataclass(frozen=True, slots=True)
class _Given:
    """Values that have no encoding but that of their field."""

    values: Mapping[str, object]


def _written(given: _Given) -> object:
    return given.values


_Field = Annotated[object, PlainSerializer(_written)]


def encoded(settings: Settings, name: EventName, values: Mapping[str, object], run_id: str) -> Encoded:
    """An event of the class that has this name on the wire, for a run.

    The payload is the same for equal values, in whatever order.

    Raises:
        EncodeError, LimitExceededError: it cannot travel.
    """
    make = cast("Callable[..., type[Event]]", create_model)
    cls = make(name.rpartition(".")[2], __base__=Event, **{WHOLE: (_Field, ...)})
    limits = Limits(max_bytes=settings.max_bytes, compress_from=settings.compress_from, blob_from=settings.blob_from)
    event = cls(**{WHOLE: _Given({key: values[key] for key in sorted(values)})})
    codec = codec_for(EventRegistry({cls: name}), limits, settings.signing_key, settings.namespace)
    return codec.at(run_id).encode_event(event)
