"""A run as its keys hold it, read past the library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from broker_wf.broker.packing import unpack


@dataclass(frozen=True, slots=True)
class Truth:
    """A run as its keys hold it. ``live``, ``backlog`` and ``waiting`` are keyed by delivery id."""

    status: str
    live: dict[str, dict[str, Any]]
    backlog: set[str]
    waiting: dict[str, dict[str, Any]]
    done: set[str]


def truth_of(raw: Any, key: Callable[..., str], run_id: str) -> Truth:
    """As it stands now, in one moment."""
    pipe = raw.pipeline(transaction=True)
    pipe.hget(key("run", run_id), "status")
    pipe.hgetall(key("live", run_id))
    pipe.lrange(key("backlog", run_id), 0, -1)
    pipe.hkeys(key("done", run_id))
    pipe.hgetall(key("waiting", run_id))
    status, live, backlog, done, waiting = pipe.execute()
    # An item is a delivery, or the name of a list that was staged.
    tokens = [item[1:].decode() for item in backlog if item[:1] != b"d"]
    staged = [one for token in tokens for one in raw.lrange(key("staged", run_id, token), 0, -1)]
    packed = [*staged, *(item[1:] for item in backlog if item[:1] == b"d")]
    return Truth(
        status=status.decode(),
        live={did.decode(): record_of(one) for did, one in live.items()},
        backlog={cast("list[bytes]", unpack(one))[0].decode() for one in packed},
        waiting={did.decode(): record_of(one) for did, one in waiting.items()},
        done={did.decode() for did in done},
    )


def record_of(raw: bytes) -> dict[str, Any]:
    """A packed map, by name."""
    return {key.decode(): value for key, value in cast("dict[bytes, Any]", unpack(raw)).items()}
