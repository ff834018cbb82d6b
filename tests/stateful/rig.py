"""The real scripts, called from synchronous code, and the truth they leave, read raw."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, TypeVar, cast

import redis

from broker_wf.broker.asking import Asking
from broker_wf.broker.broker import Broker, open_broker
from broker_wf.broker.changes import Changed
from broker_wf.broker.deliveries import Ended, FailurePlan, Link, Offer
from broker_wf.broker.leased import Acknowledged
from broker_wf.broker.packing import pack
from broker_wf.broker.plans import EffectIds, Plan, commit_map, effect_map, recovery_map
from broker_wf.broker.renewal import Renewal
from broker_wf.broker.roster import groups_of
from broker_wf.broker.runs import Beginning, Submission
from broker_wf.broker.schedule import Swept
from broker_wf.broker.script import load
from broker_wf.broker.waits import Wait
from broker_wf.context.changes import increment
from broker_wf.context.state_store import DictState
from broker_wf.core.commit import Recovery, StepCommit, plan_commit, plan_recovery
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import DriverId, EventId, EventName, Fence, Lane, RunId, StepName, WorkerId
from broker_wf.core.outcome import CollectDecision, Effect, Returned, Undecided
from broker_wf.engine.program import Program
from broker_wf.events import Event, StartEvent, StepFailedEvent
from broker_wf.settings import Settings
from broker_wf.wire.fingerprints import fingerprint
from broker_wf.wire.state import change_in_place
from tests.integration.key_audit import problems
from tests.stateful.flow import COLLECTED, Answer, Loose, program
from tests.stateful.model import Told
from tests.stateful.truth import Truth, record_of, truth_of

LEASE_MS = 60_000
LATER_MS = 3_600_000
FRAIL_AT = 2
T = TypeVar("T")


Answers = dict[str, tuple[str, int | None]]
"""By waiter: how it stands, and what it got."""
Saved = tuple[bytes, int, bytes]
"""A key, how long it lasts, and what it holds."""


class Rig:
    """A namespace of its own on a real server."""

    def __init__(self, url: str, namespace: str, window: int = 1000) -> None:
        self.loop = asyncio.new_event_loop()
        settings = Settings.load(url=url, namespace=namespace, dispatch_window=window, lease_ms=LEASE_MS)
        self.broker: Broker = self.run(open_broker(settings, url, patience_s=None))
        self.raw: Any = redis.Redis.from_url(url)
        self.program: Program = program()
        self.lane = Lane(self.program.spec.name)
        self.groups = groups_of(self.program.spec, self.lane)
        self.run(self.broker.roster.register(self.program.spec, b"", self.groups, 1))
        limits = {s.name: s.num_workers for s in self.program.spec.steps.values() if s.num_workers is not None}
        self.serves = pack([[self.lane, self.program.spec.digest, limits, {}]])
        self.fences = 0
        self.kept: list[Delivery] = []
        self._known: dict[tuple[str, ...], tuple[Acknowledged, Told]] = {}
        self.left_some = False

    def close(self) -> None:
        """Leave nothing: whoever looks for its keys looks at those of all others too."""
        self.run(self.broker.pipe.close())
        for key in self.raw.scan_iter(match=f"{self.broker.keys.tag}*", count=1000):
            self.raw.delete(key)
        self.raw.close()
        self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def key(self, family: str, *parts: str) -> str:
        return self.broker.keys.of(family, *parts)

    def audit_of_keys(self) -> list[str]:
        return problems(self.raw, self.broker.keys.namespace)

    def heartbeat(self, worker: str) -> None:
        self.run(self.broker.roster.heartbeat(WorkerId(worker), {}, LATER_MS, [self.lane]))

    def goodbye(self, worker: str) -> None:
        self.run(self.broker.roster.goodbye(WorkerId(worker), [self.lane], self.groups))

    def submit(self, run_id: str, start_hash: str = "same") -> str:
        spec, event = self.program.spec, StartEvent()
        route = self.program.router.route(StartEvent)
        begin = Beginning(
            run_id=RunId(run_id),
            workflow=spec.name,
            lane=self.lane,
            digest=spec.digest,
            timeout_ms=spec.timeout_ms or 0,
            start_name=route.name,
            start_hash=start_hash,
            state={},
            inbox=DriverId("driver"),
        )
        submission = Submission(begin=begin, route=route, payload=self.program.codec.encode_event(event))
        return self.run(self.broker.runs.submit(submission))

    def send(self, run_id: str, event_id: str, event: Event) -> None:
        """From outside; raises RunEndedError."""
        route, encoded = self.program.router.route(type(event)), self.program.codec.encode_event(event)
        self.run(self.broker.runs.send(RunId(run_id), EventId(event_id), event, encoded, route))

    def fence(self) -> Fence:
        """One that no lease had."""
        self.fences += 1
        return Fence(f"f{self.fences}")

    def claim(
        self, worker: str, free: int = 1000, *, held: int = 0, waited: int = 4, frail_free: bool = True, **more: Any
    ) -> tuple[Delivery, ...]:
        asking = Asking(
            worker=WorkerId(worker),
            fence=self.fence(),
            free=free,
            held=held,
            waited=waited,
            lease_ms=LEASE_MS,
            frail_at=FRAIL_AT,
            frail_free=frail_free,
            serves=self.serves,
        )
        return self.run(self._claim(replace(asking, **more)))

    async def _claim(self, asking: Asking) -> tuple[Delivery, ...]:
        claimed = await self.broker.claims.claim(lambda: asking)
        self.left_some = claimed.capped
        return claimed.deliveries

    def plan(
        self, delivery: Delivery, events: Sequence[Event], *, listed: bool, decisions: tuple[CollectDecision, ...] = ()
    ) -> StepCommit:
        returned = Returned(events=tuple(events), listed=listed)
        return plan_commit(self.program.router, delivery, returned, decisions)

    def commit(
        self, commit: StepCommit, offer: Offer | None = None, *, busy: bool = False, links: Sequence[StepCommit] = ()
    ) -> Ended:
        acked, _ = self.known(commit.delivery)
        link, *more = (Link(one, commit_map(one, [], self.program.codec)) for one in (commit, *links))
        ends = self.broker.deliveries.commit(link, [], acked, busy=busy, sent=lambda: None, offer=offer, links=more)
        return self.ended(commit.delivery, self.run(ends))

    def offer(self, commit: StepCommit, worker: str, *, begun: bool = False) -> Offer | None:
        """The worker would go on with what follows; what it gets is then in ``kept``."""
        step = commit.follower(self.program.spec)
        if step is None:
            return None
        return Offer(
            worker=WorkerId(worker),
            fence=self.fence(),
            lease_ms=LEASE_MS,
            step=step,
            kept=self.kept.append,
            begun=begun,
        )

    def calls_in(self, act: Callable[[], object]) -> int:
        """How often the server was given a script of this namespace meanwhile."""
        with self.raw.monitor() as seen:
            act()
            self.raw.echo(self.broker.keys.tag)
            commands = iter(lambda: seen.next_command()["command"], f"ECHO {self.broker.keys.tag}")
            return sum(one.startswith("FCALL ") and f" {self.broker.keys.tag} " in one for one in commands)

    def collected(self, delivery: Delivery) -> tuple[CollectDecision, ...]:
        """What ``collect_events`` decides on what the claim brought."""
        name, want = EventName("Loose"), {EventName("Loose"): COLLECTED}
        event = self.program.codec.decode_event(delivery.payload)
        snapshot = delivery.buffers.get("default")
        if snapshot is None or snapshot.counts.get(name, 0) + 1 < COLLECTED:
            return (CollectDecision(buffer="default", name=name, event=event, want=want, fire=False),)
        if snapshot.items is None:
            needed = Undecided(buffer="default", want=want)
            snapshot = self.run(self.broker.deliveries.snapshot(delivery, needed))["default"]
        items = (snapshot.items or {})[name][: COLLECTED - 1]
        used = {name: (items[0][0], len(items))}
        return (CollectDecision(buffer="default", name=name, event=event, want=want, fire=True, used=used),)

    def effects(self, delivery: Delivery, effects: Sequence[Effect]) -> tuple[Ended, list[str], list[str]]:
        """Apply effects; also says their ids."""
        ids = EffectIds(delivery)
        plans = [effect_map(one, ids, self.program.codec) for one in effects]
        acked, told = self.known(delivery)
        ended, words = self.run(self.broker.deliveries.apply(delivery, plans, acked, busy=False, sent=lambda: None))
        made = [cast(str, one.plan["id"]) for one in plans]
        told.effects |= {id_ for id_, word in zip(made, words, strict=False) if word in ("ok", "seen")}
        return ended, words, made

    def change(self, delivery: Delivery, name: str, by: int) -> Changed:
        plan = change_in_place(self.program.codec, DictState, "count", increment(by))
        assert plan is not None
        return self.make(delivery, {**plan, "id": name})

    def make(self, delivery: Delivery, change: Plan) -> Changed:
        """Make a change of the state."""
        acked, told = self.known(delivery)
        changed = self.run(self.broker.state.change(delivery, change, acked))
        if changed.word in ("ok", "seen", "yours", "queued"):
            told.changes.add(cast(str, change["id"]))
        return changed

    def known(self, delivery: Delivery) -> tuple[Acknowledged, Told]:
        """What the execution of a lease was told: as a worker keeps it, and all of it."""
        return self._known.setdefault(_lease(delivery), (Acknowledged(self.broker.admission), Told()))

    def fail(self, delivery: Delivery, delay_ms: int | None) -> Ended:
        ending: Plan = {"status": "failed", "error": b"e", "name": "F", "payload": b"p"}
        plan = FailurePlan(delay_ms=delay_ms) if delay_ms is not None else FailurePlan(ending=ending)
        return self._failed(delivery, plan)

    def hand_to_handler(self, delivery: Delivery) -> tuple[Ended, Recovery]:
        """Fail for good, to the handler; also says what that gets."""
        handler = self.program.spec.steps[StepName("rescue")]
        event = StepFailedEvent(
            step_name=delivery.step,
            input_event=Loose(),
            exception=ValueError("no"),
            attempts=delivery.attempt,
            elapsed_seconds=0,
            failed_at=datetime.now(timezone.utc),
        )
        recovery = plan_recovery(self.program.router, handler, delivery, event)
        return self._failed(delivery, FailurePlan(recovers=recovery_map(recovery, self.program.codec)[0])), recovery

    def _failed(self, delivery: Delivery, plan: FailurePlan) -> Ended:
        fail, (acked, _) = self.broker.deliveries.fail, self.known(delivery)
        return self.ended(delivery, self.run(fail(delivery, [], b"error", plan, acked, busy=False, sent=lambda: None)))

    def ended(self, delivery: Delivery, ended: Ended) -> Ended:
        """A worker whose effects were lost executes the step again, and knows of none at first."""
        if ended is Ended.FORGOTTEN:
            self._known.pop(_lease(delivery), None)
        return ended

    def suspend(self, delivery: Delivery, waiter_id: str, wants: int | None, timeout_ms: int | None) -> Ended:
        """Wait for an answer, and look at those that came early, as a step does."""
        fields = {} if wants is None else {"odd": fingerprint(wants)}
        wait = Wait(id=waiter_id, names=(EventName("Answer"),), fields=fields, timeout_ms=timeout_ms, asks=None)
        while True:
            found = self.run(self.broker.waits.suspend(delivery, [wait], [], busy=False, sent=lambda: None))
            if isinstance(found, Ended):
                return found
            for one in found:
                event = self.program.codec.decode_event(one.payload)
                assert isinstance(event, Answer)
                if wait.takes is None and event.odd == wants:
                    wait.takes = one.event_id
                wait.seen.add(one.event_id)

    def answers(self, run_id: str, *dids: str) -> list[Answers]:
        """State and answer of each waiter, of each of these deliveries."""
        pipe = self.raw.pipeline(transaction=False)
        for did in dids:
            pipe.hgetall(self.key("waits", run_id, did))
        return [
            {name.decode(): self._answer(record_of(raw)) for name, raw in waits.items()} for waits in pipe.execute()
        ]

    def _answer(self, waiter: dict[str, Any]) -> tuple[str, int | None]:
        event = self.program.codec.decode_event(waiter["p"]) if "p" in waiter else None
        return waiter["s"].decode(), event.n if isinstance(event, Answer) else None

    def renew(self, delivery: Delivery) -> bool:
        """Whether the lease is kept."""
        leases = [[delivery.run_id, delivery.id, delivery.fence]]
        return not self.run(_lost(self.broker, leases))

    def hold_place(self, delivery: Delivery) -> None:
        """As the lease thread of a worker does whose thread of the delivery still runs."""
        renewal = Renewal(self.broker.url, self.broker.keys, self.broker.timeouts, {})
        place = (self.lane, delivery.step, str(delivery.place))
        renewal.hold_places([(place, (delivery.run_id, delivery.id, delivery.fence))], LEASE_MS)
        renewal.close()

    def change_record(self, delivery: Delivery, **fields: Any) -> None:
        """Other values in a live record."""
        record = {**self.truth(delivery.run_id).live[delivery.id], **fields}
        record = {name: value for name, value in record.items() if value is not None}
        self.raw.hset(self.key("live", delivery.run_id), delivery.id, pack(record))

    def sweep(self, max_crashes: int) -> int:
        """How many deliveries went back to a stream."""
        return sum(one.redispatched for one in self.sweeps(max_crashes))

    def sweeps(self, max_crashes: int) -> list[Swept]:
        """As many calls as it takes to look at all that is due."""
        swept = [self.run(self.broker.schedule.sweep(1000, LEASE_MS, max_crashes))]
        while swept[-1].more:
            swept.append(self.run(self.broker.schedule.sweep(1000, LEASE_MS, max_crashes)))
        return swept

    def nobody_was_there(self, for_ms: int) -> None:
        """As if no sweep had run, nor any lease been renewed, for so long: what would be due then is due."""
        self.raw.set(self.key("swept"), self.now_ms() - for_ms)
        for member, score in self.raw.zrange(self.key("watch"), 0, -1, withscores=True):
            self.raw.zadd(self.key("watch"), {member: score - for_ms})

    def saved(self) -> list[Saved]:
        """All keys of the namespace."""
        names = list(cast("list[bytes]", self.raw.scan_iter(f"{self.broker.keys.tag}*", count=1000)))
        pipe = self.raw.pipeline(transaction=True)
        for name in names:
            pipe.pttl(name).dump(name)
        told = pipe.execute()
        return list(zip(names, told[::2], told[1::2], strict=True))

    def put_back(self, keys: list[Saved]) -> None:
        """The namespace is as it was then, and the server another one."""
        self.broker.admission.connections += 1
        pipe = self.raw.pipeline(transaction=True)
        for name in self.raw.scan_iter(f"{self.broker.keys.tag}*", count=1000):
            pipe.delete(name)
        for name, lasts_ms, held in keys:
            pipe.restore(name, max(0, lasts_ms), held)
        pipe.execute()

    def keys_of(self, run_id: str) -> list[str]:
        """The keys of a run."""
        names = [name.decode() for name in self.raw.scan_iter(f"{self.broker.keys.tag}*", count=1000)]
        return [name for name in names if name.removeprefix(self.broker.keys.tag).split(":")[1:2] == [run_id]]

    def expire(self, run_id: str) -> None:
        """What its retention does in the end."""
        if names := self.keys_of(run_id):
            self.raw.delete(*names)

    def word(self, script: str, delivery: Delivery, *values: object) -> str:
        """The first word of the reply of a script that is called for a delivery alone."""
        return self.run(self._word(script, delivery, *values))

    async def _word(self, script: str, delivery: Delivery, *values: object) -> str:
        names = (delivery.run_id, delivery.id, delivery.fence)
        return cast("list[bytes]", await self.broker.pipe.call(load(script), *names, *values))[0].decode()

    def audit(self) -> tuple[int, int]:
        """Repairs, and runs failed because they can never end."""
        audited = self.run(self.broker.schedule.audit(self.program.spec.name, 0, 1000))
        return audited.repairs, audited.stuck

    def make_due(self, index: str, *members: str) -> None:
        """What would come with time: these members are to be looked at now, if they are in the index."""
        for member in members or cast("list[bytes]", self.raw.zrange(self.key(index), 0, -1)):
            self.raw.zadd(self.key(index), {member: 1}, xx=True)

    def now_ms(self) -> int:
        """The server's time."""
        seconds, microseconds = self.raw.time()
        return seconds * 1000 + microseconds // 1000

    def members(self, index: str, *parts: str) -> set[str]:
        return {one.decode() for one in cast("list[bytes]", self.raw.zrange(self.key(index, *parts), 0, -1))}

    def places(self, step: str) -> list[str]:
        raw = self.raw.zrange(self.key("running", self.lane, StepName(step)), 0, -1)
        return [one.decode() for one in cast("list[bytes]", raw)]

    def truth(self, run_id: str) -> Truth:
        return truth_of(self.raw, self.key, run_id)


def rigged(url: str, namespace: str, window: int) -> Iterator[Rig]:
    """One, closed at the end; its runs have at most ``window`` deliveries in streams."""
    made = Rig(url, namespace, window)
    try:
        yield made
    finally:
        made.close()


async def _lost(broker: Broker, leases: list[list[str]]) -> list[int]:

    return cast("list[int]", await broker.pipe.call(load("renew"), LEASE_MS, leases))


def _lease(delivery: Delivery) -> tuple[str, ...]:
    """What is claimed together has one fence."""
    return delivery.run_id, delivery.id, delivery.fence
