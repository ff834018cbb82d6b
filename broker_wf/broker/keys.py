"""Every key: its type, its life, what it holds. Nothing else spells one, the scripts neither.

A key is ``{<namespace>/<partition>}:<family>:<part>:…``. The braces are a cluster hash tag: everything one script
touches is in one slot. The script loader turns a family that a script's header names into a Lua function of the same
parts, so both languages read this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NewType

from broker_wf.core.ids import Partition, RunId

RedisKey = NewType("RedisKey", str)


class Life(Enum):
    """What ends a key."""

    NAMESPACE = "as long as the namespace"
    LANE = "as long as the workflow is in use; a private lane's keys expire with its process"
    RUN = "as long as the run, then the retention of ended runs"
    LIVE = "until the run ends"
    PROCESS = "as long as its process, then minutes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of key.

    Attributes:
        kind: the Redis type.
        parts: what stands behind the family's name, in order.
        holds: for people and ``docs/protocol.md``.
    """

    name: str
    kind: str
    parts: tuple[str, ...]
    life: Life
    holds: str

    def tail(self, *values: str) -> str:
        """The key behind the hash tag.

        Raises:
            ValueError: not as many values as the family has parts.
        """
        if len(values) != len(self.parts):
            raise ValueError(f"key family {self.name!r} takes {self.parts}, not {values}")
        return ":".join((self.name, *values))


def _family(name: str, kind: str, parts: str, life: Life, holds: str) -> Family:
    return Family(name=name, kind=kind, parts=tuple(parts.split()), life=life, holds=holds)


_ALL = (
    _family("protocol", "HASH", "", Life.NAMESPACE, "version of the protocol, number of partitions"),
    _family("workflows", "SET", "", Life.NAMESPACE, "names of workflows ever used here"),
    _family("definition", "HASH", "workflow", Life.NAMESPACE, "class, latest digest, facts per digest"),
    _family(
        "run",
        "HASH",
        "run",
        Life.RUN,
        "the run's record: status, what it has in common with others, times, result or error",
    ),
    _family("live", "HASH", "run", Life.LIVE, "delivery id -> record; live and not in the backlog"),
    _family("done", "HASH", "run", Life.RUN, "delivery id -> step, worker, start, end, attempt, outcome, nonce"),
    _family(
        "backlog",
        "LIST",
        "run",
        Life.LIVE,
        "deliveries that do not fit the dispatch window, or names of staged lists",
    ),
    _family("staged", "LIST", "run token", Life.LIVE, "deliveries of a large fan-out, put down before its commit"),
    _family("aux", "SET", "run", Life.LIVE, "further keys of the run, dropped at its end"),
    _family("state", "HASH", "run", Life.RUN, "Context: top-level key -> '<version>:<value>'"),
    _family("arriving", "HASH", "token", Life.PROCESS, "blobs of a run that is about to be submitted; lives 2 min"),
    _family(
        "blob",
        "HASH",
        "run",
        Life.RUN,
        "content hash -> large part of an event; 'p<hash>' of those that the feed or a dead letter refers to",
    ),
    _family(
        "feed",
        "STREAM",
        "run",
        Life.RUN,
        "events the run publishes; id '<seq>-0'; the terminal event is last",
    ),
    _family("logs", "STREAM", "run", Life.RUN, "lines its steps have logged, the last 1,000"),
    _family("rest", "STRING", "run", Life.RUN, "what a run that failed, timed out or was cancelled had not finished"),
    _family("kept", "LIST", "run", Life.RUN, "what became of its deliveries, in order"),
    _family("effects", "SET", "run delivery", Life.LIVE, "ids of effects a live delivery has applied"),
    _family("changed", "HASH", "run delivery", Life.RUN, "id of a change it has made to the state -> its result"),
    _family("collections", "HASH", "run", Life.LIVE, "collection id -> parent, joins, which of them fired"),
    _family(
        "open",
        "SET",
        "run collection",
        Life.LIVE,
        "members of a collection not yet ended: delivery or collection ids",
    ),
    _family("batch", "LIST", "run collection step", Life.LIVE, "events a join step will get, in order of arrival"),
    _family(
        "slot",
        "LIST",
        "run step collection index",
        Life.LIVE,
        "events that wait in a slot of a several-parameter join",
    ),
    _family(
        "buffers",
        "HASH",
        "run",
        Life.LIVE,
        "'<step>:<buffer>' -> how many of each event collect_events wants",
    ),
    _family("buffer", "LIST", "run buffer event", Life.LIVE, "collected events: delivery id and payload"),
    _family("inside", "SET", "run step", Life.LIVE, "deliveries that hold one of the step's num_workers_per_run"),
    _family("held", "LIST", "run step", Life.LIVE, "deliveries held back until one of those has ended"),
    _family("numbers", "HASH", "run", Life.LIVE, "'<step>|<number>' of executions, in a run that is exposed"),
    _family("waiting", "HASH", "run", Life.LIVE, "delivery id -> record, of deliveries that wait for an event"),
    _family("waits", "HASH", "run delivery", Life.LIVE, "waiter id -> what it waits for, and the answer"),
    _family(
        "waiters", "HASH", "run event", Life.LIVE, "delivery and waiter that wait for such an event -> step, fields"
    ),
    _family("wanted", "HASH", "run event value", Life.LIVE, "those of them that require the same, by its hash"),
    _family("shapes", "SET", "run event", Life.LIVE, "which fields waiters for such an event ask for"),
    _family("early", "LIST", "run", Life.LIVE, "the last 100 events that nobody took, for waiters to come"),
    _family("once", "HASH", "run delivery", Life.LIVE, "key -> result that a live delivery remembers"),
    _family("children", "SET", "run", Life.LIVE, "live runs that steps of the run have begun; they end with it"),
    _family("lock", "HASH", "run", Life.LIVE, "who holds the lock of edit_state: delivery, nonce, token"),
    _family("lockers", "LIST", "run", Life.LIVE, "who waits for that lock, in order"),
    _family(
        "work",
        "STREAM",
        "lane event",
        Life.LANE,
        "new deliveries of one event type; a consumer group per step",
    ),
    _family("again", "STREAM", "lane event", Life.LANE, "re-dispatches and joins, read first; groups as on work"),
    _family(
        "ready",
        "ZSET",
        "lane",
        Life.LANE,
        "'[+|-]<w|a>:<event>|<step>' of groups that may hold something -> last served",
    ),
    _family("bell", "LIST", "lane", Life.LANE, "tokens; one wakes one idle worker"),
    _family("serving", "ZSET", "lane", Life.LANE, "workers that serve the lane -> last heard of"),
    _family(
        "running",
        "ZSET",
        "lane step",
        Life.LANE,
        "places of a limited step: '<place>|<run>|<delivery>|<nonce>' -> end",
    ),
    _family(
        "returning",
        "ZSET",
        "lane step",
        Life.PROCESS,
        "'<run>|<delivery>' that want back the places they gave up for a child run -> until when they are reserved",
    ),
    _family("parked", "SET", "lane step", Life.LANE, "ready members that wait for a place of the step"),
    _family(
        "watch",
        "ZSET",
        "",
        Life.NAMESPACE,
        "'<run>|<delivery>', '<run>|!deadline' or '<run>|!begin' -> when to look at it",
    ),
    _family(
        "queued",
        "ZSET",
        "",
        Life.NAMESPACE,
        "'<run>|<delivery>' that waits in a stream -> when to check that it is there",
    ),
    _family("swept", "STRING", "", Life.NAMESPACE, "when a sweep last ran, to tell an outage from a slow run"),
    _family("live_runs", "ZSET", "workflow", Life.NAMESPACE, "run id -> when it was accepted"),
    _family("ended_runs", "ZSET", "workflow", Life.NAMESPACE, "run id -> when it ended; trimmed by retention"),
    _family(
        "queued_runs", "ZSET", "workflow", Life.NAMESPACE, "live runs that wait for their turn -> place in the line"
    ),
    _family(
        "turns",
        "HASH",
        "workflow",
        Life.NAMESPACE,
        "of that line: '' -> round served, '<priority>:<key>' -> its last round",
    ),
    _family("admitted_runs", "ZSET", "workflow", Life.NAMESPACE, "live runs that have their turn -> since when"),
    _family("dead", "STREAM", "", Life.NAMESPACE, "dead letters, the last 10,000"),
    _family("roster", "ZSET", "", Life.NAMESPACE, "worker id -> last heard of"),
    _family("worker", "STRING", "worker", Life.PROCESS, "what people want to know of a worker"),
    _family(
        "claimed",
        "STRING",
        "worker",
        Life.PROCESS,
        "the worker's last claim, should its reply be lost; with `+read`: that which went along with a blocked read",
    ),
    _family("seal", "STRING", "", Life.PROCESS, "when something was last written that had to be durable"),
    _family("inbox", "LIST", "process", Life.PROCESS, "messages for one process: ends of runs, grants, stops"),
    _family(
        "wake",
        "STREAM",
        "process",
        Life.PROCESS,
        "wakes a driver's blocked read of feeds when it has to read others",
    ),
)

FAMILIES = {family.name: family for family in _ALL}


_FIRST = Partition(0)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one partition of a namespace."""

    namespace: str
    partition: Partition = _FIRST

    @property
    def tag(self) -> str:
        """What every key of the partition begins with; the scripts get it as their only KEYS."""
        return f"{{{self.namespace}/{self.partition}}}:"

    def of(self, family: str, *values: str) -> RedisKey:
        """The key of a family, ``values`` in the order of its parts.

        Raises:
            KeyError: no such family.
            ValueError: not as many values as the family has parts.
        """
        return RedisKey(self.tag + FAMILIES[family].tail(*values))

    def part_of_run(self, key: str, run_id: RunId) -> tuple[str, str]:
        """The family of a run's key, and what stands behind the run's id in it."""
        family, _, tail = key.removeprefix(self.tag).partition(":")
        return family, tail[len(run_id) :]

    def of_run(self, family: str, run_id: RunId, rest: str) -> RedisKey:
        """The key of a run whose other parts are ``rest``, as :meth:`part_of_run` gave it.

        Raises:
            KeyError: no such family.
        """
        return RedisKey(f"{self.tag}{FAMILIES[family].name}:{run_id}{rest}")
