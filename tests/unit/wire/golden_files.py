"""One value of each kind and the bytes it has had since that kind was introduced.

``python -m tests.unit.wire.golden_files`` writes the files that are missing, and none that is there.
"""

from __future__ import annotations

import textwrap
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import HttpUrl, SecretStr

from broker_wf import events
from broker_wf.wire.blobs import BlobCache
from broker_wf.wire.codec import Codec
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from tests.unit.wire.samples import (
    CODEC,
    NAMES,
    Box,
    Celsius,
    CheckedBox,
    Color,
    Dog,
    Everything,
    FrozenBox,
    Hidden,
    Level,
    Loose,
    Point,
    Rights,
    Simple,
    Start,
    Stop,
    Token,
    Wrapper,
    dynamic,
)

FOLDER = Path(__file__).parent / "golden"

EVENTS: Mapping[str, events.Event] = {
    "event_bare": events.Event(),
    "event_dynamic": dynamic(text="ä", nested={"a": [1, 2]}),
    "event_fields": Simple(text="hello", numbers=[1, -2, 3]),
    "event_unset": Simple(text="hello"),
    "event_hidden": Hidden(shown=1),
    "event_start": Start(query="q"),
    "event_stop": events.StopEvent(result={"a": 1}),
    "event_stop_subclass": Stop(answer="42"),
    "event_everything": Everything(
        text="x",
        when=datetime(2024, 2, 29, 12, 0, tzinfo=timezone.utc),
        color=Color.GREEN,
        rights=Rights.READ | Rights.WRITE,
        box=Box("b", [Point(1)], 2),
        frozen=FrozenBox("f"),
        checked=CheckedBox(3),
        animals=[Dog(name="rex", tricks=["sit"])],
        wrapped=Wrapper[int](held=1),
        loose=Loose(known=1, unknown=2),  # pyright: ignore[reportCallIssue]
        rows={"a": {"box": FrozenBox("g")}},
        temperature=Celsius(36.6),
        token=Token("t"),
        kind=Simple,
        anything=None,
    ),
    "event_timed_out": events.WorkflowTimedOutEvent(timeout=1.5, active_steps=["a"]),
    "event_cancelled": events.WorkflowCancelledEvent(),
    "event_input_required": events.InputRequiredEvent(prefix="name?"),  # pyright: ignore[reportCallIssue]
    "event_human_response": events.HumanResponseEvent(response="me"),  # pyright: ignore[reportCallIssue]
    "event_step_state": events.StepStateChanged(
        name="s", step_state=events.StepState.RUNNING, worker_id="1", input_event_name="Simple"
    ),
    "event_collection": events.CollectionReleaseEvent(events=[Simple(text="m")], stream_id="c", binding_id="b"),
}

VALUES: Mapping[str, object] = {
    "none": None,
    "true": True,
    "int": 2**63,
    "big_int": 2**64,
    "big_int_negative": -(2**200),
    "float": 0.1,
    "inf": float("-inf"),
    "str": "äöü €",
    "str_lone_surrogate": "a\ud800b",
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"\x01"),
    "list": [1, [2, ["three"]]],
    "dict": {"a": {"b": None}},
    "dict_int_keys": {1: "a", 2**70: "b", None: "c"},
    "dict_tuple_keys": {(1, "a"): 2, Color.RED: 3},
    "tuple": (1, ("a",), ()),
    "set": {7},
    "frozenset": frozenset({b"x"}),
    "ordered_dict": OrderedDict(b=1, a=2),
    "default_dict": defaultdict(list, {"a": [1]}),
    "counter": Counter({"a": 2}),
    "deque": deque([1, 2], maxlen=3),
    "datetime_naive": datetime(2024, 2, 29, 23, 59, 59, 999_999, fold=1),  # noqa: DTZ001 - it is to be naive
    "datetime_utc": datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc),
    "datetime_offset": datetime(2024, 1, 2, tzinfo=timezone(-timedelta(hours=5, minutes=30))),
    "datetime_zone": datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    "date": date(1, 1, 1),
    "time": time(1, 2, 3, 4),
    "time_utc": time(1, 2, tzinfo=timezone.utc),
    "timedelta": timedelta(-1, 2, 3),
    "timezone": timezone(timedelta(hours=2)),
    "uuid": UUID("12345678-1234-5678-1234-567812345678"),
    "decimal": Decimal("-1.50E+7"),
    "complex": complex(1, -2),
    "path": Path("/tmp/x"),
    "path_posix": PurePosixPath("a/b"),
    "path_windows": PureWindowsPath(r"c:\x"),
    "range": range(1, 10, 3),
    "fraction": Fraction(1, 3),
    "ip_address": ip_address("::1"),
    "url": HttpUrl("https://example.org/a?b=c"),
    "secret": SecretStr("hunter2"),
    "enum": Color.GREEN,
    "int_enum": Level.LOW,
    "flag": Rights.READ | Rights.WRITE,
    "named_tuple": Point(1, 2),
    "dataclass": Box("b", [Point(1)], 2),
    "model": Dog(name="rex"),
    "class": Simple,
    "long": ["the same again and again"] * 5_000,
}

SPLITTING = Codec(EventRegistry(NAMES), Limits(blob_from=16), BlobCache(0))
"""Takes parts out that are longer than 16 bytes."""

SPLIT: Mapping[str, events.Event] = {
    "split_fields": Simple(text="a text of 23 characters", numbers=[*range(20)]),
    "split_shared": dynamic(a="ä" * 20, b=1, c="ä" * 20),
    "split_result": events.StopEvent(result={"a": "y" * 20}),
}
"""Events whose large parts travel apart: a file for the payload, and one for each blob."""


def blob_files(name: str) -> list[bytes]:
    """The blobs of an event of ``SPLIT``, as they were written once and for all."""
    return [read(file.stem) for file in sorted(FOLDER.glob(f"{name}_blob*.hex"))]


def read(name: str) -> bytes:
    """The bytes of a kind, as they were written once and for all."""
    return bytes.fromhex((FOLDER / f"{name}.hex").read_text())


def write_missing() -> list[str]:
    """Write the files that are not there; returns their names."""
    written: list[str] = []
    wanted = {name: CODEC.encode_value(value, what=name) for name, value in {**EVENTS, **VALUES}.items()}
    for name, event in SPLIT.items():
        encoded = SPLITTING.encode_event(event)
        wanted[name] = encoded.payload
        wanted |= {f"{name}_blob{i}": blob.sealed for i, blob in enumerate(encoded.blobs)}
    for name, data in wanted.items():
        file = FOLDER / f"{name}.hex"
        if not file.exists():
            file.write_text("\n".join(textwrap.wrap(data.hex(), 100)) + "\n")
            written.append(name)
    return written


if __name__ == "__main__":
    print(*write_missing(), sep="\n")
