"""The scripts and the model, side by side: what is done to the one is done to the other, and what they say is equal."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import cast

import msgpack
import pytest
from hypothesis.stateful import RuleBasedStateMachine

from broker_wf.broker.changes import Changed
from broker_wf.broker.deliveries import Ended
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import RunId, StepName, WorkerId
from broker_wf.core.outcome import CollectDecision, Effect, Sent, StateSet, Written
from broker_wf.errors import LeaseLostError, RunEndedError
from broker_wf.events import Event
from broker_wf.wire.envelope import PLAIN_HEAD
from tests.feed_entries import feed_entries
from tests.stateful.acts import one_of
from tests.stateful.flow import LIMIT, Answer
from tests.stateful.model import MAX_CRASHES, Run, Waiter
from tests.stateful.rig import FRAIL_AT, LATER_MS, Rig
from tests.stateful.truth import Truth

WORKERS = ("w1", "w2")
TIMEOUTS: dict[str, int | None] = {"soon": LATER_MS, "later": 2 * LATER_MS, "never": None}
"""Of waiters, by id."""
Claims = Callable[..., tuple[Delivery, ...]]


class Twins(RuleBasedStateMachine):
    """``url`` is set by the test."""

    url = ""

    def set_up(self, window: int, shared: bool) -> None:
        self.rig = Rig(self.url, f"t{uuid.uuid4().hex[:12]}", window)
        self.window = window
        self.runs: dict[str, Run] = {}
        self.leases: list[Delivery] = []
        self.places: list[Delivery] = []
        self.holders: dict[str, str] = {}
        self.intact, self.strays, self.positions_lost = True, False, False
        self.letters = 0
        self.failures: set[tuple[str, str]] = set()
        for worker in WORKERS if shared else WORKERS[:1]:
            self.rig.heartbeat(worker)

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        try:
            if not self.intact:
                self.healed()
            self.everything_that_can_be_done_is_done()
            self.nothing_is_left()
        finally:
            self.rig.close()

    def claimed(
        self, worker: str, n: int = 1000, *, greedy: bool = True, way: Claims = Rig.claim
    ) -> Sequence[Delivery]:
        """Claim as a worker does: it has at most one delivery at a time that may be poison."""
        mine = [one for one in self.held() if self.holders[one.fence] == worker]
        frail_free = not any(one.crashes >= FRAIL_AT for one in mine)
        found = way(self.rig, worker, n, waited=4 if greedy else 0, frail_free=frail_free)
        assert len(found) <= n
        frail = [one for one in found if one.crashes >= FRAIL_AT]
        assert len(frail) <= frail_free
        for delivery in found:
            self.holders[delivery.fence] = worker
            self.take(delivery)
        if frail or not frail_free:
            self.postponed()
        return found

    def postponed(self) -> None:
        """Other frail ones wait a little: here until they are made due."""
        for run_id, run in self.runs.items():
            truth = self.rig.truth(run_id)
            for did, record in run.live.items():
                told = truth.live.get(did, {}).get("st")
                if record.state == "q" and record.crashes >= FRAIL_AT and told == b"d":
                    record.back("d")
                    later = {f"{run_id}|{did}": self.rig.now_ms() + LATER_MS}
                    self.rig.raw.zadd(self.rig.key("watch"), later, xx=True)

    def took_all(self, worker: str) -> None:
        self.claimed(worker)
        if self.intact and not self.strays:
            self.nothing_claimable_was_left()
        self.strays = False

    def swept(self, queued: bool, delayed: bool) -> None:
        """Look at what is due; queued and delayed ones are, if it is said so."""
        if queued:
            self.rig.make_due("queued")
        if delayed:
            late = ("d", "w")
            waiting = [f"{r}|{d}" for r, run in self.runs.items() for d, one in run.live.items() if one.state in late]
            self.rig.make_due("watch", *waiting, "")
        expected = sum(self.looked_at(run_id, did) for run_id, did in sorted(self.due()))
        redispatched = self.rig.sweep(MAX_CRASHES)
        if self.intact:
            assert redispatched == expected

    def healed(self) -> None:
        """What sweeps and audits do by themselves, in less time."""
        self.rig.audit()
        self.swept(queued=True, delayed=False)
        self.intact = True

    def the_truth_is_the_models(self, truths: dict[str, Truth]) -> None:
        for run_id, run in self.runs.items():
            truth = truths[run_id]
            assert truth.status == run.status
            assert not truth.live.keys() & truth.backlog
            assert truth.live.keys() | truth.backlog | truth.waiting.keys() == run.live.keys()
            assert truth.waiting.keys() == {did for did, one in run.live.items() if one.state == "w"}
            assert truth.done == run.done.keys()
            wanted = [{w: (x.state, x.answer) for w, x in one.waiters.items()} for one in run.live.values()]
            assert self.rig.answers(run_id, *run.live) == wanted
            for did, found in (truth.live | truth.waiting).items():
                expected = run.live[did]
                fence = found.get("n", b"").decode() or None
                told = (found["st"].decode(), found["a"], found["c"], fence)
                assert told == (expected.state, expected.attempt, expected.crashes, expected.fence), did

    def what_is_dispatched_is_watched(self, truths: dict[str, Truth]) -> None:
        if not self.intact:
            return
        watch, queued = set[str](), set[str]()
        for run_id, run in self.runs.items():
            truth = truths[run_id]
            for did, record in truth.live.items():
                (queued if record["st"] == b"q" else watch).add(f"{run_id}|{did}")
            watch |= {f"{run_id}|{did}" for did in truth.waiting}
            if run.begun and run.status == "running":
                watch.add(f"{run_id}|!deadline")
        assert self.rig.members("watch") == watch
        assert self.rig.members("queued") == queued

    def live_runs_are_the_running_ones(self) -> None:
        raw = cast("list[bytes]", self.rig.raw.zrange(self.rig.key("live_runs", self.rig.lane), 0, -1))
        assert {one.decode() for one in raw} == {r for r, run in self.runs.items() if run.status == "running"}

    def limits_hold(self, truths: dict[str, Truth]) -> None:
        places = self.rig.places("limited")
        assert len(places) <= LIMIT
        taken = {tuple(one.split("|")[1:]) for one in places}
        assert {(one.run_id, one.id, one.fence) for one in self.held() if one.place is not None} <= taken
        for run_id, did, fence in taken:
            # Only the end of a run leaves a place taken, until the holder's code has stopped.
            assert self.runs[run_id].refusal(did, fence) in (None, Ended.GONE)
        records = [one for run in self.runs.values() for one in run.live.values()]
        assert sum(one.step == "limited" and one.state == "l" for one in records) <= LIMIT
        assert all(len(truth.live) <= self.window for truth in truths.values())

    def feeds_and_letters_are_counted(self) -> None:
        for run_id, run in self.runs.items():
            assert len(feed_entries(self.rig.raw, self.rig.broker.keys, run_id)) == run.feed
        assert self.rig.raw.xlen(self.rig.key("dead")) <= self.letters + sum(r.letters for r in self.runs.values())

    def one_run(self, n: int) -> list[str]:
        return one_of(sorted(self.runs), n)

    def held(self) -> list[Delivery]:
        return [one for one in self.leases if self.runs[one.run_id].refusal(one.id, one.fence) is None]

    def some_held(self, n: int, count: int) -> list[Delivery]:
        held = self.held()
        return [*held, *held][n % len(held) :][: min(count, len(held))]

    def take(self, delivery: Delivery) -> None:
        record = self.runs[delivery.run_id].claim(delivery.id, delivery.fence)
        told = (delivery.step, delivery.attempt, delivery.crashes, delivery.collection)
        assert told == (record.step, record.attempt, record.crashes, record.collection)
        assert delivery.recoveries.get(StepName("rescue"), 0) == record.recoveries
        if record.batch is not None:
            assert delivery.batch is not None
            events = [self.rig.program.codec.decode_event(one) for one in delivery.batch]
            assert tuple(one.n for one in events) == record.batch
        self.leases.append(delivery)
        if delivery.place is not None:
            self.places.append(delivery)

    def nothing_claimable_was_left(self) -> None:
        for run_id, run in self.runs.items():
            backlog = self.rig.truth(run_id).backlog
            left = [d for d, one in run.live.items() if one.state == "q" and d not in backlog]
            if any(run.live[did].step == "limited" for did in left):
                assert len(self.rig.places("limited")) == LIMIT
            assert [did for did in left if run.live[did].step != "limited"] == []

    def committed(
        self,
        delivery: Delivery,
        events: Sequence[Event],
        n: int,
        *,
        listed: bool = False,
        decisions: tuple[CollectDecision, ...] = (),
        stays: bool = False,
    ) -> None:
        """``stays``: its worker offers to go on with what follows."""
        plan = self.rig.plan(delivery, events, listed=listed, decisions=decisions)
        run, worker = self.runs[delivery.run_id], self.holders[delivery.fence]
        self.rig.kept, before = [], set(run.live)
        offer = self.rig.offer(plan, worker) if stays else None
        expected = run.commit(delivery.id, delivery.fence, plan, n, self.rig.known(delivery)[1])
        assert self.rig.commit(plan, offer) is expected
        if offer is not None:
            follows = {f"{plan.emissions[0].id}@{offer.step}"} & (set(run.live) - before)
            assert {one.id for one in self.rig.kept} == follows - self.rig.truth(delivery.run_id).backlog
        for one in self.rig.kept:
            self.holders[one.fence] = worker
            self.take(one)

    def applied(self, delivery: Delivery, effects: list[Effect], n: int) -> None:
        run = self.runs[delivery.run_id]
        refused = run.refusal(delivery.id, delivery.fence)
        ended, words, ids = self.rig.effects(delivery, effects)
        assert ended is (refused or Ended.DONE)
        if refused is not None:
            assert words == []
            return
        seen = run.live[delivery.id].effects
        for effect, word, effect_id in zip(effects, words, ids, strict=True):
            locked = isinstance(effect, StateSet) and bool(run.asks)
            assert word == ("seen" if effect_id in seen else "locked" if locked else "ok")
            if word != "ok":
                continue
            seen.add(effect_id)
            if isinstance(effect, Sent):
                run.emit(effect_id, effect.route, None, n, run.live[delivery.id].recoveries)
            run.feed += isinstance(effect, Written)
            if isinstance(effect, StateSet):
                run.state[effect.key] = effect.value

    def raised(self, delivery: Delivery, name: str, by: int) -> None:
        """Raise the number of the run, under a name that is of one change of the delivery."""
        run = self.runs[delivery.run_id]
        if run.refusal(delivery.id, delivery.fence) is not None:
            with pytest.raises(LeaseLostError):
                self.rig.change(delivery, name, by)
            return
        found, remembered = self.rig.change(delivery, name, by), run.live[delivery.id].changes
        if name in remembered:
            assert found == Changed("seen", msgpack.packb(remembered[name]))
        elif run.asks:
            assert found == Changed("locked")
        else:
            count = by + (msgpack.unpackb(run.state["count"][1:]) if "count" in run.state else 0)
            remembered[name], run.state["count"] = count, PLAIN_HEAD + msgpack.packb(count)
            assert found == Changed("ok", msgpack.packb(count))

    def failed(self, delivery: Delivery, delay_ms: int | None) -> None:
        run = self.runs[delivery.run_id]
        before = run.refusal(delivery.id, delivery.fence)
        told = self.rig.known(delivery)[1]
        expected = run.fail(delivery.id, delivery.fence, told, delayed=bool(delay_ms), final=delay_ms is None)
        found = self.rig.fail(delivery, delay_ms)
        said_before = before is Ended.FENCED and found is Ended.DONE and (delivery.id, delivery.fence) in self.failures
        assert found is expected or said_before
        if before is None and found is not Ended.FORGOTTEN:
            self.failures.add((delivery.id, delivery.fence))

    def handed_to_handler(self, delivery: Delivery, n: int) -> None:
        run, told = self.runs[delivery.run_id], self.rig.known(delivery)[1]
        found, recovery = self.rig.hand_to_handler(delivery)
        assert found is run.hand_to_handler(delivery.id, delivery.fence, recovery, n, told)

    def suspended(self, delivery: Delivery, waiter_id: str, wants: int | None) -> None:
        """Wait; under the same id always for the same."""
        timeout, run = TIMEOUTS[waiter_id], self.runs[delivery.run_id]
        if (record := run.live.get(delivery.id)) is not None and waiter_id in record.waiters:
            wants = record.waiters[waiter_id].wants
        is_lost = run.refusal(delivery.id, delivery.fence) is not None
        expected = run.suspend(delivery.id, delivery.fence, waiter_id, Waiter(wants=wants, timeout=timeout))
        # Nobody looks through a backlog for the record that tells that this very lease was parked.
        if is_lost and expected is Ended.DONE and delivery.id in self.rig.truth(delivery.run_id).backlog:
            expected = Ended.FENCED
        assert self.rig.suspend(delivery, waiter_id, wants, timeout) is expected

    def released(self, some: list[Delivery]) -> None:
        expected = sum(self.runs[one.run_id].release(one.id, one.fence) for one in some)
        assert self.rig.run(self.rig.broker.deliveries.release(some)) == expected

    def locked(self, delivery: Delivery) -> None:
        run, token = self.runs[delivery.run_id], f"{delivery.id}.{delivery.fence}"
        asking = self.rig.broker.state.lock(delivery, token, WorkerId("w1"))
        if run.refusal(delivery.id, delivery.fence) is not None:
            with pytest.raises(LeaseLostError):
                self.rig.run(asking)
        else:
            assert self.rig.run(asking) is run.lock((delivery.id, delivery.fence, token))

    def unlocked(self, delivery: Delivery) -> None:
        token = f"{delivery.id}.{delivery.fence}"
        self.rig.run(self.rig.broker.state.unlock(delivery.run_id, token))
        self.runs[delivery.run_id].unlock(token)

    def sent(self, run_id: str, event_id: str, kind: type[Event], n: int) -> None:
        run = self.runs[run_id]
        if run.status != "running" and event_id not in run.sent:
            with pytest.raises(RunEndedError):
                self.rig.send(run_id, event_id, kind(n=n))
            return
        # Whoever sends an event again is told that it was taken, after the end of the run too.
        self.rig.send(run_id, event_id, kind(n=n))
        if event_id not in run.sent:
            run.sent.add(event_id)
            run.emit(event_id, self.rig.program.router.route(kind), None, n)

    def looked_at(self, run_id: str, did: str) -> bool:
        """What a sweep makes of a member that is due; whether it goes back to a stream."""
        run = self.runs[run_id]
        if run.status != "running":
            return False
        if did == "!deadline":
            run.end("timed_out")
            return False
        if run.live[did].state == "d":
            run.live[did].back("q")
            return True
        if run.live[did].state == "w":
            return run.time_out(did)
        run.lease_over(did)
        return run.status == "running"

    def due(self) -> list[tuple[str, str]]:
        raw = self.rig.raw.zrangebyscore(self.rig.key("watch"), "-inf", self.rig.now_ms())
        return [cast("tuple[str, str]", tuple(one.decode().split("|", 1))) for one in cast("list[bytes]", raw)]

    def stream(self, kind: str, event: str) -> str:
        return self.rig.key("again" if kind == "a" else "work", self.rig.lane, event)

    def groups_of(self, key: str) -> set[str]:
        return {one["name"].decode() for one in cast("list[dict[str, bytes]]", self.rig.raw.xinfo_groups(key))}

    def destroy(self, key: str, step: str, how: str) -> None:
        raw = self.rig.raw
        if how == "trim":
            raw.xtrim(key, 0, approximate=False)
        elif how == "delete":
            raw.delete(key)
        elif how == "destroy":
            raw.xgroup_destroy(key, step)
        elif step in self.groups_of(key):
            raw.xgroup_setid(key, step, "$")
            self.positions_lost = True
            for consumer in (*WORKERS, "1", "2"):
                raw.xgroup_delconsumer(key, step, consumer)

    def add_entry(self, kind: str, event: str, step: StepName | str, fields: dict[str, str]) -> None:
        self.rig.raw.xadd(self.stream(kind, event), fields)
        self.rig.raw.zadd(self.rig.key("ready", self.rig.lane), {f"{kind}:{event}|{step}": 0})
        self.strays = True

    def everything_that_can_be_done_is_done(self) -> None:
        """Claim and commit until nothing is live. What waits for its time is due now."""
        for _ in range(200):
            self.rig.run(self.rig.broker.deliveries.free_places(self.rig.lane, self.places))
            self.rig.make_due("watch", *(f"{r}|{d}" for r, run in self.runs.items() for d in run.live))
            for delivery in self.held():
                self.committed(delivery, [], 0)
            for run_id, run in self.runs.items():
                for odd in (0, 1) if any(one.state == "w" for one in run.live.values()) else ():
                    self.sent(run_id, f"x-last-{len(run.sent)}", Answer, odd)
            self.swept(queued=True, delayed=True)
            for worker in WORKERS:
                self.claimed(worker)
            if not any(run.live for run in self.runs.values()):
                break
        assert {r: set(run.live) for r, run in self.runs.items() if run.live} == {}

    def nothing_is_left(self) -> None:
        for run_id, run in self.runs.items():
            state = self.rig.raw.hgetall(self.rig.key("state", run_id))
            assert {key.decode(): raw.partition(b":")[2] for key, raw in state.items()} == run.state
            if run.status == "running":
                self.rig.run(self.rig.broker.runs.cancel(RunId(run_id)))
        for group in self.rig.groups:
            key = self.stream(group.kind, group.event)
            if self.positions_lost and self.rig.raw.exists(key) and group.step in self.groups_of(key):
                # A group set past its entries never sees what only a test has put there.
                self.rig.raw.xgroup_setid(key, group.step, "0")
            self.rig.raw.zadd(self.rig.key("ready", self.rig.lane), {f"{group.kind}:{group.event}|{group.step}": 0})
        for _ in range(40):
            assert [self.rig.claim(worker) for worker in WORKERS] == [(), ()]
            if not self.rig.members("ready", self.rig.lane):
                break
        for worker in WORKERS:
            self.rig.goodbye(worker)
        left = self.rig.audit_of_keys()
        assert left == [], left
