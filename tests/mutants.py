"""Scripts with a fault put in, inside this process only: what a test is worth that does not notice them?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from broker_wf.broker import script

MUTANTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "no fence": (("lib/record", "rec.st == 'l' and rec.n == nonce", "rec.st == 'l'"),),
    "no re-dispatch": (
        (
            "lib/dispatch",
            "return enqueue(run, rid, event_of(did, rec.s), { rec }, 'a', now)",
            "return lane_of(run, rec)",
        ),
    ),
    "acknowledged before the checks": (
        (
            "commit",
            "-- Guards.",
            "if run and rec then retire_record(run, rid, did, rec) redis.call('HDEL', live_key(rid), did) end",
        ),
    ),
    "effects are repeated": (("lib/effects", "redis.call('SISMEMBER', key, effect.id) == 0", "true"),),
    "groups delete what is not theirs": (
        ("lib/dispatch", "if named ~= step then", "if string.find(named, ',', 1, true) then"),
    ),
    "an ended run leaves its shared entries": (("lib/finish", "redis.call('UNLINK', live_key(rid))\n", "\n"),),
    "anybody may renew": (("renew", "rec.n == one[3]", "true"),),
    "joins fire one member early": (("lib/emit", "open_key(tx.rid, cid)) == 0", "open_key(tx.rid, cid)) <= 1"),),
    "an answer wakes nobody": (("lib/waits", "if rec then wake(tx, did, rec) end", ""),),
    "any event is the answer": (
        ("lib/waits", "elseif hash ~= theirs then", "elseif false then"),
        ("lib/waits", "if value == '?' then return redis.call('HGETALL'", "if true then return redis.call('HGETALL'"),
    ),
    "places are not freed": (("lib/places", "ZREM', running_key(base, rec.s)", "ZSCORE', running_key(base, rec.s)"),),
}
"""Per mutant: script, what stands in it, what stands there instead."""

_DIRECTED = {"an ended run leaves its shared entries", "groups delete what is not theirs", "any event is the answer"}
WALKED_INTO = sorted(set(MUTANTS) - _DIRECTED)
"""Those that random walks find soon; the others need a schedule of their own."""


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Every script loaded inside has the fault. Fails if the text to be changed is no longer there."""
    original: Any = script._read

    def read(which: str) -> Any:
        source = original(which)
        for where, old, new in MUTANTS[name]:
            if where == which:
                assert old in source.body, f"mutant {name!r}: {where}.lua has changed"
                source = replace(source, body=source.body.replace(old, new))
        return source

    try:
        script._read = read
        _forget()
        yield
    finally:
        script._read = original
        _forget()


def _forget() -> None:
    script.load.cache_clear()
    script._read_lib.cache_clear()
