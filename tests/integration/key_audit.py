"""What must hold of a namespace's keys once no run is live: nothing of a run is left but what expires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import redis

from broker_wf.broker.keys import FAMILIES, Family, Keys, Life

_WITHOUT_EXPIRY = (Life.NAMESPACE, Life.LANE)
_EMPTY_ZSETS = ("watch", "queued", "live_runs", "running", "serving", "roster", "queued_runs", "admitted_runs")


def problems(client: redis.Redis, namespace: str) -> list[str]:
    """Everything in the namespace that should not be as it is; for a moment without live runs and workers."""
    keys = Keys(namespace)
    found = sorted(cast("bytes", key).decode() for key in client.scan_iter(match=f"{keys.tag}*", count=1000))
    return [problem for key in found for problem in _problems_of(client, key, key.removeprefix(keys.tag))]


def _problems_of(client: redis.Redis, key: str, tail: str) -> Iterator[str]:
    name = tail.partition(":")[0]
    family = FAMILIES.get(name)
    if family is None:
        yield f"{key}: of no family"
        return
    kind = cast("bytes", client.type(key)).decode()
    if kind == "none":
        return
    if kind != family.kind.lower():
        yield f"{key}: is a {kind}, not a {family.kind}"
        return
    if client.pttl(key) == -1 and family.life not in _WITHOUT_EXPIRY:
        yield f"{key}: never expires, but lives {family.life.value}"
    if family.life is Life.LIVE:
        yield f"{key}: outlives its run: {_content(client, key, kind)}"
    if "@" in tail and family.life is Life.LANE:
        yield f"{key}: belongs to the lane of a process that has closed it"
    if name in _EMPTY_ZSETS and client.zcard(key):
        yield f"{key}: is not empty: {_content(client, key, kind)}"
    if kind == "stream" and family.life is Life.LANE:
        yield from _problems_of_stream(client, key, family)


def _problems_of_stream(client: redis.Redis, key: str, family: Family) -> Iterator[str]:
    if client.xlen(key):
        yield f"{key}: holds entries: {client.xrange(key, count=5)}"
    for group in cast("list[dict[str, object]]", client.xinfo_groups(key)):
        if group["pending"]:
            yield f"{key}: {group['pending']} pending in group {group['name']!r} of {family.name}"


def _content(client: redis.Redis, key: str, kind: str) -> object:
    match kind:
        case "hash":
            return client.hgetall(key)
        case "list":
            return client.lrange(key, 0, 4)
        case "set":
            return sorted(cast("set[bytes]", client.smembers(key)))[:5]
        case "zset":
            return client.zrange(key, 0, 4, withscores=True)
        case _:
            return f"a {kind}"
