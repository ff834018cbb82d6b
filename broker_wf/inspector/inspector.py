"""Questions about the runs, workers and workflows of a namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.broker import Broker
from broker_wf.broker.feed import FeedEntry
from broker_wf.broker.kinds import spread
from broker_wf.broker.reruns import tags_of
from broker_wf.broker.roster import unpacked_facts
from broker_wf.core.ids import RunId
from broker_wf.errors import RunNotFoundError, without_password
from broker_wf.inspector.listing import RUNNING, find_run, known_workflows, list_runs, shown_status
from broker_wf.inspector.load import workflow_views
from broker_wf.inspector.plain import plain_or_reason, plain_result
from broker_wf.inspector.records import (
    Tally,
    backlog_step,
    delivery_view,
    done_execution,
    done_step,
    error_view,
    event_views,
    live_execution,
    moment_of,
    record_of,
)
from broker_wf.inspector.replies import entries, mapping, scored, scores, server_facts, text, texts
from broker_wf.inspector.views import (
    DeadLetterView,
    DeliveryView,
    EventView,
    ExecutionView,
    RunSummary,
    RunView,
    ServerView,
    StatusView,
    WaitView,
    WorkerView,
    moment,
)
from broker_wf.inspector.waiting import list_waits

_READ_AT_ONCE = 500
_BACKLOG_READ = 1_000


@dataclass(frozen=True, slots=True)
class Inspector:
    """Reads one namespace. Every answer is of one moment per round trip, not of one moment in all."""

    broker: Broker

    async def runs(
        self,
        workflow: str | None = None,
        status: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[RunSummary]:
        """Runs, newest first: live ones stand where they were accepted, ended ones where they ended.

        Args:
            workflow: its name; None: all of them.
            status: running, queued, completed, failed, cancelled or timed_out; None: any.
            limit: of the page.
            before: the cursor of the last run of the page before.

        Raises:
            ValueError: ``before`` is no cursor.
        """
        workflows = [workflow] if workflow else await known_workflows(self.broker)
        return await list_runs(self.broker, workflows, status, limit, before)

    async def waiting(self, workflow: str | None = None, limit: int = 1_000) -> list[WaitView]:
        """What live runs wait for, those who wait longest first: the questions to be answered.

        Waits of steps, and runs of which nothing executes: they have returned an ``InputRequiredEvent``, or for another
        reason go on only when somebody sends an event.

        Args:
            workflow: its name; None: of all of them.
            limit: of live runs that are looked at, newest first.
        """
        workflows = [workflow] if workflow else await known_workflows(self.broker)
        return await list_waits(self.broker, await list_runs(self.broker, workflows, RUNNING, limit, None))

    async def run_id(self, prefix: str) -> RunId:
        """The run whose id this is, else the only one whose id begins so.

        Raises:
            RunNotFoundError: there is none.
            AmbiguousRunIdError: there are several; names some.
        """
        return await find_run(self.broker, prefix)

    async def run(self, run_id: str) -> RunView:
        """All about a run.

        Args:
            run_id: or what only one run's id begins with.

        Raises:
            RunNotFoundError, AmbiguousRunIdError: as :meth:`run_id`.
        """
        found = await self.run_id(run_id)
        record, deliveries, done, backlog, held = await asyncio.gather(
            self._ask("HGETALL", "run", found),
            self._live(found),
            self._hash("done", found),
            self._backlog(found),
            self._held(found),
        )
        fields = spread(mapping(record))
        if "status" not in fields:
            raise RunNotFoundError(run_id)
        tally = Tally()
        for one in deliveries:
            tally.add(one.state, [one.step])
        tally.add("done", map(done_step, done.values()))
        for items, _ in backlog:
            tally.add("backlog", map(backlog_step, items))
        for step, length in held.items():
            tally.add("held", [step] * length)
        status = shown_status(fields)
        result_type, result = await self._result(found, fields) if status == "completed" else (None, None)
        return RunView(
            run_id=found,
            workflow=text(fields["workflow"]),
            status=status,
            created_at=moment_of(fields, "created_ms") or moment(0),
            started_at=moment_of(fields, "started_ms"),
            ended_at=moment_of(fields, "ended_ms"),
            deadline_at=moment_of(fields, "deadline_ms"),
            unserved_at=None if status != "running" else moment_of(fields, "unserved_ms"),
            digest=text(fields.get("digest", b"")),
            lane=text(fields.get("lane", b"")),
            result=result,
            result_type=result_type,
            error=error_view(status, fields.get("error", b"")),
            done=len(done),
            backlog=sum(length for _, length in backlog),
            steps=tally.views(),
            deliveries=tuple(deliveries),
            rerun_of=_named(fields, "rerun_of"),
            rerun_as=_named(fields, "rerun_as"),
            unfinished=await self._unfinished(found, status),
            tags=tags_of(fields),
            begins_at=moment_of(fields, "begins_ms"),
            priority=text(fields.get("priority", b"normal")),
            keeps_steps="start" in fields and "unkept" not in fields,
            fairness_key=text(fields["fairness"]) if "fairness" in fields else None,
        )

    async def steps(self, run_id: str) -> list[ExecutionView]:
        """The executions of a run in the order of their starts, then what waits: a waterfall.

        Raises:
            RunNotFoundError, AmbiguousRunIdError: as :meth:`run_id`.
        """
        found = await self.run_id(run_id)
        done, live = await asyncio.gather(self._hash("done", found), self._live(found))
        rows = [done_execution(delivery, mark) for delivery, mark in done.items()]
        rows += [live_execution(one) for one in live if one.id not in done]
        return sorted(rows, key=lambda row: (row.started_at is None, row.started_at or moment(0), row.delivery))

    async def events(self, run_id: str, after: int = 0, limit: int = _READ_AT_ONCE) -> list[EventView]:
        """Events of a run's feed behind the cursor ``after``, oldest first.

        Those of the engine itself are there too, where somebody has asked for them; what one script has published of
        them shares a sequence number, so a page may hold more events than its limit.

        Args:
            run_id: the whole id; of a run that is not known there are no events.
            after: a sequence number; 0: from the first event on.
            limit: of the page.
        """
        found = RunId(run_id)
        entries = await self.broker.feed.read(found, after, limit)
        return [view for entry in entries for view in await self.events_of(found, entry)]

    async def events_of(self, run_id: RunId, entry: FeedEntry) -> list[EventView]:
        """The events of an entry of a run's feed, with what of them is kept apart."""
        return event_views(entry, await self.broker.blobs.fetch(run_id, (entry.payload,)))

    async def state(self, run_id: str) -> dict[str, object]:
        """The Context's state of a run as last committed, by key, as plain data.

        Raises:
            RunNotFoundError, AmbiguousRunIdError: as :meth:`run_id`.
        """
        found = await self.run_id(run_id)
        encoded = {key: one.value or b"" for key, one in (await self.broker.state.all(found)).items()}
        blobs = await self.broker.blobs.fetch(found, encoded.values())
        return {key: plain_or_reason(raw, blobs) for key, raw in sorted(encoded.items())}

    async def workers(self) -> list[WorkerView]:
        """The workers that are alive, by id."""
        alive = sorted(scored(await self.broker.pipe.command("ZRANGE", self._key("roster"), 0, -1, "WITHSCORES")))
        if not alive:
            return []
        raw = await self.broker.pipe.command("MGET", *(self._key("worker", worker) for worker, _ in alive))
        known = zip(alive, cast("list[bytes | None]", raw), strict=True)
        return [_worker_view(worker, seen_ms, facts) for (worker, seen_ms), facts in known if facts is not None]

    async def serving(self, workflow: str) -> int:
        """How many live workers serve a workflow's runs, whoever submits them."""
        raw = await self.broker.pipe.command("ZRANGE", self._key("serving", workflow), 0, -1, "WITHSCORES")
        keys = [self._key("worker", worker) for worker, _ in scored(raw)]
        return cast(int, await self.broker.pipe.command("EXISTS", *keys)) if keys else 0

    async def status(self) -> StatusView:
        """The namespace at one glance."""
        info, dead, workers, workflows = await asyncio.gather(
            self.broker.pipe.command("INFO"),
            self.broker.pipe.command("XLEN", self._key("dead")),
            self.workers(),
            known_workflows(self.broker),
        )
        return StatusView(
            namespace=self.broker.keys.namespace,
            server=_server_view(self.broker.url, server_facts(info)),
            workers=tuple(workers),
            workflows=await workflow_views(self.broker, workflows, [one.id for one in workers]),
            dead_letters=cast(int, dead),
        )

    async def dead_letters(self, limit: int = 50) -> list[DeadLetterView]:
        """What was given up on, newest first."""
        raw = await self.broker.pipe.command("XREVRANGE", self._key("dead"), "+", "-", "COUNT", limit)
        return [_dead_letter_view(entry_id, fields[b"letter"]) for entry_id, fields in entries(raw)]

    async def _result(self, run_id: RunId, fields: Mapping[str, bytes]) -> tuple[str, object]:
        raw = fields["result"]
        return plain_result(raw, await self.broker.blobs.fetch(run_id, (raw,)))

    async def _unfinished(self, run_id: RunId, status: str) -> tuple[str, ...]:
        rest = await self.broker.reruns.rest(run_id) if status in ("failed", "timed_out", "cancelled") else None
        return () if rest is None else tuple(rest.steps)

    def _key(self, family: str, *parts: str) -> str:
        return self.broker.keys.of(family, *parts)

    async def _ask(self, command: str, family: str, run_id: RunId) -> object:
        return await self.broker.pipe.command(command, self._key(family, run_id))

    async def _live(self, run_id: RunId) -> list[DeliveryView]:
        found = {**await self._hash("waiting", run_id), **await self._hash("live", run_id)}
        if not found:
            return []
        members = [f"{run_id}|{delivery}" for delivery in found]
        due = await self.broker.pipe.command("ZMSCORE", self._key("watch"), *members)
        views = [
            delivery_view(delivery, record_of(raw), due_ms)
            for (delivery, raw), due_ms in zip(found.items(), scores(due), strict=True)
        ]
        return sorted(views, key=lambda one: (one.created_at, one.id))

    async def _hash(self, family: str, run_id: RunId) -> dict[str, bytes]:
        """All fields of a hash, read in parts so that a large one does not hold up the server."""
        cursor, fields = "0", dict[str, bytes]()
        while True:
            reply = await self.broker.pipe.command("HSCAN", self._key(family, run_id), cursor, "COUNT", _READ_AT_ONCE)
            position, part = cast("tuple[object, object]", reply)
            fields.update(mapping(part))
            cursor = text(position)
            if cursor == "0":
                return fields

    async def _backlog(self, run_id: RunId) -> list[tuple[list[bytes], int]]:
        """The backlog's own deliveries, then each list staged by a large fan-out: head and length."""
        length, head = await self._list(self._key("backlog", run_id))
        own = [item[1:] for item in head if item.startswith(b"d")]
        tokens = [text(item[1:]) for item in head if item.startswith(b">")]
        staged = await asyncio.gather(*(self._list(self._key("staged", run_id, token)) for token in tokens))
        return [(own, length - len(tokens)), *((items, size) for size, items in staged)]

    async def _held(self, run_id: RunId) -> dict[str, int]:
        """How many deliveries of each step its ``num_workers_per_run`` holds back."""
        prefix = self._key("held", run_id, "")
        keys = [key for key in texts(await self._ask("SMEMBERS", "aux", run_id)) if key.startswith(prefix)]
        lengths = await asyncio.gather(*(self.broker.pipe.command("LLEN", key) for key in keys))
        return {key.removeprefix(prefix): cast(int, length) for key, length in zip(keys, lengths, strict=True)}

    async def _list(self, key: str) -> tuple[int, list[bytes]]:
        length, items = await asyncio.gather(
            self.broker.pipe.command("LLEN", key),
            self.broker.pipe.command("LRANGE", key, 0, _BACKLOG_READ - 1),
        )
        return cast(int, length), cast("list[bytes]", items)


def _named(fields: Mapping[str, bytes], name: str) -> str | None:
    return text(fields[name]) if name in fields else None


def _worker_view(worker: str, seen_ms: int, raw: bytes) -> WorkerView:
    facts = unpacked_facts(raw)
    names = str(facts.get("workflows", ""))
    return WorkerView(
        id=worker,
        host=str(facts.get("host", "")),
        pid=_count(facts, "pid"),
        workflows=tuple(names.split(",")) if names else (),
        concurrency=_count(facts, "concurrency"),
        running=_count(facts, "running"),
        done=_count(facts, "done"),
        last_seen_at=moment(seen_ms),
    )


def _count(facts: dict[str, object], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) else 0


def _server_view(url: str, facts: dict[str, str]) -> ServerView:
    log = "off"
    if facts.get("aof_enabled") == "1":
        log = "on" if facts.get("aof_last_write_status", "ok") == "ok" else "failing"
    return ServerView(
        url=without_password(url),
        name=facts.get("server_name", "redis"),
        version=facts.get("valkey_version") or facts.get("redis_version", "?"),
        uptime_s=int(facts.get("uptime_in_seconds", "0")),
        used_memory_bytes=int(facts.get("used_memory", "0")),
        max_memory_bytes=int(facts.get("maxmemory", "0")),
        clients=int(facts.get("connected_clients", "0")),
        log=log,
    )


def _dead_letter_view(entry_id: str, raw: bytes) -> DeadLetterView:
    letter = record_of(raw)
    kind = text(letter.get("kind", "?"))
    known = {"kind", "run", "delivery", "workflow", "step", "event", "reason", "payload", "at"}
    facts = {key: _shown(value) for key, value in letter.items() if key not in known}
    if isinstance(letter.get("payload"), bytes):
        facts["payload"] = plain_or_reason(cast(bytes, letter["payload"]))

    def named(key: str) -> str | None:
        value = letter.get(key)
        return None if value is None else text(value)

    return DeadLetterView(
        id=entry_id,
        kind=kind,
        at=moment(int(entry_id.partition("-")[0])),
        run_id=named("run"),
        delivery=named("delivery"),
        workflow=named("workflow"),
        step=named("step"),
        event=named("event"),
        reason=named("reason") or _REASONS.get(kind, ""),
        facts=facts,
    )


_REASONS = {
    "malformed": "the entry of the stream is not one of ours",
    "poison": "workers died or froze whenever they executed it",
}


def _shown(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, list):
        return [_shown(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {text(key): _shown(item) for key, item in cast("dict[object, object]", value).items()}
    return value
