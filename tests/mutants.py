"""Scripts with a fault put in, inside this process only: what a test is worth that does not notice them?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from broker_wf.broker import claims, connection, deliveries, script
from broker_wf.broker.packing import unpack
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Fence
from broker_wf.worker import claimer, going_on

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
    "places are not freed": (
        ("lib/places", "ZREM', running_key(base, rec.s)", "ZSCORE', running_key(base, rec.s)"),
        ("lib/end", "redis.call('ZREM', key, unpack(members))", "redis.call('ZSCORE', key, members[1])"),
    ),
    "collected events are counted and not named": (
        ("lib/buffers", "if not head or cmsgpack.unpack(head)[1] ~= used[1] then", "if not head then"),
    ),
    "work streams are trimmed": (
        ("lib/dispatch", "'XADD', place.key, '*', 'd'", "'XADD', place.key, 'MAXLEN', 2, '*', 'd'"),
    ),
    "groups begin at the end": (
        ("register", "g[4], '0', 'MKSTREAM'", "g[4], '$', 'MKSTREAM'"),
        ("lib/groups", "step, '0', 'MKSTREAM'", "step, '$', 'MKSTREAM'"),
    ),
    "nonces of attempts": (("lib/lease", "'l', holder.nonce,", "'l', rec.a .. '.' .. rec.c,"),),
    "the last event after the script": (
        (
            "lib/finish",
            "append_feed(rid, outcome.name, outcome.payload, outcome.step, now, outcome.by)",
            "if outcome.status ~= 'completed' then append_feed(rid, outcome.name, outcome.payload, '', now) end",
        ),
    ),
    "nobody asks for what was lost": (("lib/end", "if not knows then return false end", "do return false end"),),
    "what was executed in one go leaves one mark": (
        ("lib/links", "redis.call('HSET', done_key(tx.rid), unpack(marks))", ""),
    ),
    "one nonce for all": (),
    "the feed never expires": (
        ("lib/finish", "if run.has_feed then redis.call('PEXPIRE', feed_key(rid), life) end\n", ""),
    ),
}
"""Per mutant: script, what stands in it, what stands there instead."""

_DIRECTED = {
    "anybody may renew",
    "an ended run leaves its shared entries",
    "groups delete what is not theirs",
    "any event is the answer",
    "collected events are counted and not named",
    "groups begin at the end",
    "nobody asks for what was lost",
    "nonces of attempts",
    "one nonce for all",
    "places are not freed",
    "the last event after the script",
    "the feed never expires",
    "work streams are trimmed",
}
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

    kept = claimer.new_fence, deliveries.delivery_of, claims.delivery_of, connection.Pipe.call_again
    try:
        script._read = read
        _forget()
        _BESIDE.get(name, _nothing)()
        yield
    finally:
        claimer.new_fence, deliveries.delivery_of, claims.delivery_of, connection.Pipe.call_again = kept
        going_on.new_fence = claimer.new_fence
        script._read = original
        _forget()


def _nothing() -> None:
    """The fault is in the scripts alone."""


def _one_nonce() -> None:
    claimer.new_fence = going_on.new_fence = lambda: Fence("always the same")


def _nonces_of_attempts() -> None:
    original = deliveries.delivery_of

    def delivery_of(found: Any, fence: Fence, kept: int = 0) -> Delivery:
        made = original(found, fence, kept)
        return replace(made, fence=Fence(f"{made.attempt}.{made.crashes}"))

    deliveries.delivery_of = claims.delivery_of = delivery_of


def _last_event_later() -> None:
    original = connection.Pipe.call_again

    def call_again(pipe: Any, called: script.Script, values: Any, again: Any) -> Any:
        reply: Any = original(pipe, called, values, again)
        ends = called.name == "commit" and (unpack(values[2]) if isinstance(values[2], bytes) else values[2]).get(
            "ends"
        )
        if ends:
            fields = ("t", ends["name"], "p", ends["payload"], "s", "", "at", "0")
            key = pipe.keys.of("feed", values[0])
            reply.add_done_callback(lambda _: pipe.command("XADD", key, "*", *fields))
        return reply

    connection.Pipe.call_again = call_again


_BESIDE = {
    "one nonce for all": _one_nonce,
    "nonces of attempts": _nonces_of_attempts,
    "the last event after the script": _last_event_later,
}
"""What a mutant changes in the worker."""


def _forget() -> None:
    script.load.cache_clear()
    script._read_lib.cache_clear()
