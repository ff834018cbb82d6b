"""A run's feed as it lies in the keys: a stream, or in its record where it has published its end alone."""

from __future__ import annotations

from typing import Any, cast

import msgpack
import redis

from broker_wf.broker.keys import Keys

Entry = tuple[bytes, dict[bytes, bytes]]


def feed_entries(client: redis.Redis, keys: Keys, run: str) -> list[Entry]:
    """Id and fields of each entry, in order."""
    found = cast("list[Entry]", client.xrange(keys.of("feed", run)))
    record = cast("dict[bytes, bytes]", client.hgetall(keys.of("run", run)))
    if b"last" not in record:
        return found
    assert found == [], "an end that is in the record is in no stream"
    name, payload, step, by = cast(Any, msgpack.unpackb(record[b"last"], raw=True))
    value = record[b"result"] if b"result" in record else record[b"error"]
    return [(b"1-0", {b"t": name, b"p": payload or value, b"s": step, b"at": record[b"ended_ms"], b"b": by})]
