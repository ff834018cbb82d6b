"""What the user's code did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker_wf.core.ids import DeliveryId, EventName
from broker_wf.core.routing import Route
from broker_wf.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An event sent by call; ``routes`` to every acceptor, or to one step."""

    event: Event
    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An event written to the run's feed by call."""

    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSet:
    """A state key given a new value.

    Attributes:
        value: encoded.
        version: the version it must still have; None: any.
    """

    key: str
    value: bytes
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEdit:
    """What an ``edit_state`` block changed, committed under the lock's token.

    Attributes:
        place: where in the step's code the block stands: a restart knows by it what it has changed already.
    """

    token: str
    place: str
    sets: Mapping[str, bytes]
    removed: tuple[str, ...]


Effect = Sent | Written | StateSet | StateEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectDecision:
    """What ``collect_events`` decided on its snapshot; the commit verifies it.

    Attributes:
        want: how many events of each name make the collection complete.
        fire: it is complete with the delivery's own event and ``used``.
        used: per name the first delivery id and how many were taken from the buffer.
        event: the delivery's own event, added to the buffer unless it fires.
    """

    buffer: str
    name: EventName
    event: Event
    want: Mapping[EventName, int]
    fire: bool
    used: Mapping[EventName, tuple[DeliveryId, int]] = field(default_factory=dict[EventName, "tuple[DeliveryId, int]"])


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class Returned:
    """The step came to its end.

    Attributes:
        events: what it returned; a bare event is one, None is none.
        listed: it returned a list, which opens a collection.
    """

    events: tuple[Event, ...]
    listed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """The step raised."""

    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """``collect_events`` needs events that the claim did not carry; the step is run again with them."""

    buffer: str
    want: Mapping[EventName, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The step left by ``wait_for_event``; its context knows what it waits for."""


Outcome = Returned | Raised | Undecided | Waiting
