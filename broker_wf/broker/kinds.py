"""What all runs of a version of a workflow have in common: the field ``kind`` of their records (``lib/record.lua``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import msgpack

from broker_wf.broker.packing import pack, unpack
from broker_wf.core.ids import Digest, EventName, Lane, WorkflowName

FIELD = "kind"
_NAMES = (
    "workflow",
    "lane",
    "digest",
    "start_name",
    "timeout_ms",
    "keep_ms",
    "keep_failed_ms",
    "window",
    "queued_check_ms",
    "max_runs",
    "max_live_runs",
    "unkept",
    "routes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What the namespace's settings say of runs. Milliseconds."""

    keep_ms: int
    keep_failed_ms: int
    window: int
    queued_check_ms: int
    max_live_runs: int
    keep_steps: bool = True


@lru_cache(maxsize=1000)
def packed_kind(
    limits: RunLimits,
    workflow: WorkflowName,
    lane: Lane,
    digest: Digest,
    start_name: EventName,
    timeout_ms: int,
    max_runs: int | None,
    routes: bytes,
) -> bytes:
    """As a run's record holds it.

    Args:
        routes: of the start event, packed.
    """
    # In the process that has begun it nobody could do a run again.
    is_kept = limits.keep_steps and "@" not in lane
    spans = [timeout_ms, limits.keep_ms, limits.keep_failed_ms, limits.window, limits.queued_check_ms]
    most = [max_runs or 0, limits.max_live_runs]
    return pack([workflow, lane, digest, start_name, *spans, *most, int(not is_kept), routes])


def spread(fields: Mapping[str, bytes]) -> dict[str, bytes]:
    """The fields of a run's record with those of its kind among them, those that it has itself first.

    ``max_runs`` and ``unkept`` are left out where there are none. Of a kind that nobody can read texts are empty and
    numbers 0: the run is shown all the same, until an audit has failed it.
    """
    known = _read(fields.get(FIELD, b"")) or _UNKNOWN
    absent = [name for name in ("max_runs", "unkept") if known[name] == b"0"]
    return {**{name: value for name, value in known.items() if name not in absent}, **fields}


def of_values(names: Sequence[str], values: Sequence[bytes | None]) -> dict[str, bytes]:
    """As :func:`spread`, of what HMGET gave for these names."""
    return spread({name: value for name, value in zip(names, values, strict=True) if value is not None})


_TEXTS = 4
_UNKNOWN = {
    **dict.fromkeys(_NAMES[:_TEXTS], b""),
    **dict.fromkeys(_NAMES[_TEXTS:], b"0"),
    "routes": pack({}),
}


def _read(kind: bytes) -> dict[str, bytes] | None:
    try:
        found = unpack(kind)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    values = cast("list[object]", found) if isinstance(found, list) else []
    kinds = [bytes] * _TEXTS + [int] * (len(_NAMES) - _TEXTS - 1) + [bytes]
    if len(values) != len(kinds) or not all(isinstance(*pair) for pair in zip(values, kinds, strict=True)):
        return None
    texts = (value if isinstance(value, bytes) else b"%d" % cast(int, value) for value in values)
    return dict(zip(_NAMES, texts, strict=True))
