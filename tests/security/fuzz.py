"""Bytes that nobody of ours has written, for every key that a worker reads."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgpack
import redis

from broker_wf.broker.keys import Keys
from broker_wf.core.ids import Lane

DEEP = 10_000
LARGE = 5 * 1024 * 1024
_ENTRY = re.compile(rb"[^|]*\|.*@[^@]*", re.DOTALL)

Put = Callable[[redis.Redis], object]


class Fuzz:
    """Writes garbage of every kind, chosen by a seed.

    Attributes:
        unread: how many entries were written that are no entry of a work stream at all: each is a dead letter.
    """

    def __init__(self, keys: Keys, workflow: str, worker: str, seed: int) -> None:
        self.keys, self.lane, self.worker = keys, Lane(workflow), worker
        self.random = random.Random(seed)
        self.unread = 0

    def garbage(self) -> bytes:
        """Something: noise, msgpack of a wrong form, depth, no text, nothing."""
        pick = self.random.randrange(8)
        if pick == 0:
            return b""
        if pick == 1:
            return b"\x91" * DEEP + b"\xc0"
        if pick == 2:
            return b"\xff\xfe" + self.random.randbytes(6)
        if pick == 3:
            return cast(bytes, msgpack.packb({"st": "l", "s": 1, "t": [], "n": None, "c": "many", "a": {}}))
        if pick == 4:
            return cast(bytes, msgpack.packb(self.random.choice([7, None, "text", [], [[]], {1: 2}, {"run": 5}])))
        if pick == 5:
            return b"x|y|z@" + self.random.randbytes(4)
        return self.random.randbytes(self.random.randrange(1, 60))

    def entries(self, count: int) -> Iterator[Put]:
        """Entries of the two streams of an event type."""
        for n in range(count):
            key = self.keys.of(self.random.choice(["work", "again"]), self.lane, "Piece")
            fields = self._fields(large=n == count // 2)
            self.unread += [*fields] != [b"d"] or _ENTRY.fullmatch(fields[b"d"]) is None
            yield lambda client, key=key, fields=fields: client.xadd(key, cast(Any, fields))

    def _fields(self, *, large: bool) -> dict[bytes, bytes]:
        if large:
            return {b"d": b"r" * LARGE + b"|0@work"}
        pick = self.random.randrange(4)
        if pick == 0:
            return {self.garbage() or b"x": self.garbage() for _ in range(self.random.randrange(1, 5))}
        if pick == 1:
            return {b"d": self.garbage()}
        return {b"d": b"%s|%s@%s" % (self.garbage(), self.garbage(), self.random.choice([b"work", self.garbage()]))}

    def members(self, count: int) -> Iterator[Put]:
        """Members of the sorted sets that are read, due at once; messages; tokens."""
        zsets = [
            self.keys.of("watch"),
            self.keys.of("queued"),
            self.keys.of("ready", self.lane),
            self.keys.of("serving", self.lane),
            self.keys.of("running", self.lane, "work"),
            self.keys.of("live_runs", self.lane),
            self.keys.of("roster"),
        ]
        lists = [self.keys.of("inbox", self.worker), self.keys.of("bell", self.lane)]
        for n in range(count):
            value = self.garbage()[:200] or b"|"
            if n % 3:
                key = zsets[n % len(zsets)]
                yield lambda client, key=key, value=value: client.zadd(key, {value: 1})
            else:
                key = lists[n % len(lists)]
                yield lambda client, key=key, value=value: client.rpush(key, value)

    def spoil_record(self, client: redis.Redis, run_id: str) -> None:
        """Put garbage where a live delivery of a run has its record."""
        live = self.keys.of("live", run_id)
        for did in cast("list[bytes]", client.hkeys(live)):
            client.hset(live, did.decode(), self.garbage())

    def spoil_fields(self, client: redis.Redis, run_id: str) -> None:
        """Put a value of a wrong kind into a live delivery's record.

        Not for what names its stream: then it is well formed and waits for a worker that reads that.
        """
        live = self.keys.of("live", run_id)
        for did, raw in cast("dict[bytes, bytes]", client.hgetall(live)).items():
            record = cast("dict[str, Any]", msgpack.unpackb(raw, raw=False, unicode_errors="surrogateescape"))
            name = self.random.choice(sorted(record.keys() - {"t", "k", "h"}))
            record[name] = self.random.choice([None, -1, 10**12, "", "x", [], {}, [1], {"a": 1}])
            packed = msgpack.packb(record, use_bin_type=False, unicode_errors="surrogateescape")
            client.hset(live, did.decode(), cast(bytes, packed))

    def spoil_run(self, client: redis.Redis, run_id: str) -> None:
        """Put garbage into some field of a run's record."""
        key = self.keys.of("run", run_id)
        name = self.random.choice(cast("list[bytes]", client.hkeys(key)))
        client.hset(key, name.decode(), self.garbage())
