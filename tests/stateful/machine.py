"""What workers, drivers and accidents may do to the scripts in any order, and what must hold after each step."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker_wf.broker.deliveries import Ended
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import EventId, EventName, RunId, StepName, WorkerId
from broker_wf.core.outcome import CollectDecision, Effect, Sent, StateSet, Undecided, Written
from broker_wf.errors import LeaseLostError, RunConflictError, RunEndedError
from broker_wf.events import Event, StopEvent
from tests.stateful.flow import COLLECTED, LIMIT, Both, Done, Item, Left, Loose, Part, Piece, Right, Task
from tests.stateful.model import MAX_CRASHES, Run
from tests.stateful.rig import LATER_MS, Rig

KINDS: tuple[type[Event], ...] = (Task, Both, Left, Right, Loose, Item, Part, Piece, Done)
WORKERS = ("w1", "w2")
LISTS: dict[str, type[Event]] = {"begin": Item, "work": Part}

index = st.integers(0, 1_000)
running = precondition(lambda self: bool(self.runs))
leased = precondition(lambda self: bool(self.leases))
holding = precondition(lambda self: bool(self.held()))
kinds = st.lists(st.sampled_from(KINDS), max_size=3)


class Scripts(RuleBasedStateMachine):
    """``url`` is set by the test."""

    url = ""

    @initialize(window=st.sampled_from([1, 3, 1000]), shared=st.booleans())
    def begin(self, window: int, shared: bool) -> None:
        self.rig = Rig(self.url, f"t{uuid.uuid4().hex[:12]}", window)
        self.window = window
        self.runs: dict[str, Run] = {}
        self.leases: list[Delivery] = []
        self.places: list[Delivery] = []
        self.intact = True
        self.strays = 0
        self.letters = 0
        for worker in WORKERS if shared else WORKERS[:1]:
            self.rig.heartbeat(worker)

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        try:
            self.heal()
            self.everything_that_can_be_done_is_done()
            self.nothing_is_left()
        finally:
            self.rig.close()

    @rule(n=st.integers(0, 3))
    def submit(self, n: int) -> None:
        run_id = f"r{n}"
        known = self.runs.get(run_id)
        assert self.rig.submit(run_id) == (known.status if known else "running")
        if known is None:
            run = self.runs[run_id] = Run()
            run.emit("0", self.rig.program.router.route(self.rig.program.spec.start_class), None, 0)

    @running
    @rule(n=index)
    def submit_another_run_under_a_known_id(self, n: int) -> None:
        for run_id in self.one_run(n):
            try:
                self.rig.submit(run_id, start_hash="another")
            except RunConflictError:
                return
            raise AssertionError("the conflict went unnoticed")

    @rule(worker=st.sampled_from(WORKERS), free=st.sampled_from([1, 2, 1000]), greedy=st.booleans())
    def claim(self, worker: str, free: int, greedy: bool) -> None:
        claimed = self.rig.claim(worker, free, greedy=greedy)
        assert len(claimed) <= free
        for delivery in claimed:
            self.take(delivery)
        if self.intact and greedy and free == 1000 and not self.strays:
            self.nothing_claimable_was_left()
        if free == 1000:
            self.strays = 0

    @holding
    @rule(n=index, events=kinds)
    def commit(self, n: int, events: list[type[Event]]) -> None:
        for delivery in self.one_held(n):
            decisions = self.collected(delivery) if delivery.step == "collect" else ()
            self.committed(delivery, [event(n=n) for event in events], n, decisions=decisions)

    @holding
    @rule(n=index, count=st.integers(0, 3))
    def commit_a_list(self, n: int, count: int) -> None:
        held = [one for one in self.held() if one.step in LISTS]
        for delivery in self.one_of(held, n):
            self.committed(delivery, [LISTS[delivery.step](n=n)] * count, n, listed=True)

    @holding
    @rule(n=index)
    def commit_what_closes_collections(self, n: int) -> None:
        member = {"work": Done, "shape": Piece, "merge": Done}
        for delivery in self.one_of([one for one in self.held() if one.step in member], n):
            self.committed(delivery, [member[delivery.step](n=n)], n)

    @holding
    @rule(n=index)
    def commit_a_stop(self, n: int) -> None:
        for delivery in self.one_held(n):
            self.committed(delivery, [StopEvent()], n)

    @leased
    @rule(n=index, events=kinds)
    def commit_with_any_lease_there_ever_was(self, n: int, events: list[type[Event]]) -> None:
        for delivery in self.one_of(self.leases, n):
            self.committed(delivery, [event(n=n) for event in events], n)

    @leased
    @rule(n=index, delay_ms=st.sampled_from([0, LATER_MS, None]))
    def fail(self, n: int, delay_ms: int | None) -> None:
        for delivery in self.one_of(self.leases, n):
            run = self.runs[delivery.run_id]
            before = run.refusal(delivery.id, delivery.fence)
            expected = run.fail(delivery.id, delivery.fence, delayed=bool(delay_ms), final=delay_ms is None)
            found = self.rig.fail(delivery, delay_ms)
            known_failure = before is Ended.FENCED and found is Ended.DONE
            assert found is expected or known_failure

    @leased
    @rule(n=index)
    def renew(self, n: int) -> None:
        for delivery in self.one_of(self.leases, n):
            kept = self.runs[delivery.run_id].refusal(delivery.id, delivery.fence) is None
            assert self.rig.renew(delivery) is kept

    @leased
    @rule(n=index, count=st.integers(1, 3))
    def release(self, n: int, count: int) -> None:
        some = self.leases[n % len(self.leases) :][:count] if self.leases else []
        expected = sum(self.runs[one.run_id].release(one.id, one.fence) for one in some)
        assert self.rig.run(self.rig.broker.deliveries.release(some)) == expected

    @holding
    @rule(n=index)
    def let_a_lease_run_out(self, n: int) -> None:
        for delivery in self.one_held(n):
            self.rig.make_due("watch", f"{delivery.run_id}|{delivery.id}")

    @running
    @rule(n=index)
    def let_a_delay_pass(self, n: int) -> None:
        delayed = [f"{r}|{d}" for r, run in self.runs.items() for d, one in run.live.items() if one.state == "d"]
        for member in self.one_of(delayed, n):
            self.rig.make_due("watch", member)

    @running
    @rule(n=index)
    def let_a_deadline_pass(self, n: int) -> None:
        for run_id in self.one_run(n):
            if self.runs[run_id].begun:
                self.rig.make_due("watch", f"{run_id}|!deadline")

    @running
    @rule()
    def let_queued_ones_be_checked(self) -> None:
        self.rig.make_due("queued")

    @running
    @rule()
    def sweep(self) -> None:
        due = sorted(self.due())
        for run_id, did in due:
            run = self.runs[run_id]
            if run.status != "running":
                continue
            if did == "!deadline":
                run.end("timed_out")
            elif did in run.live and run.live[did].state == "l":
                run.lease_over(did)
            elif did in run.live and run.live[did].state == "d":
                run.live[did].back("q")
        self.rig.sweep(MAX_CRASHES)

    @running
    @rule()
    def audit(self) -> None:
        repairs, stuck = self.rig.audit()
        assert stuck == 0
        if self.intact:
            assert repairs == 0

    @running
    @rule(n=index)
    def cancel(self, n: int) -> None:
        for run_id in self.one_run(n):
            run = self.runs[run_id]
            if run.status == "running":
                run.end("cancelled")
            assert self.rig.run(self.rig.broker.runs.cancel(RunId(run_id))) == run.status

    @running
    @rule(n=index, kind=st.sampled_from(KINDS), times=st.integers(1, 2))
    def send_from_outside(self, n: int, kind: type[Event], times: int) -> None:
        for run_id in self.one_run(n):
            run, event_id = self.runs[run_id], f"x{n}"
            for _ in range(times):
                try:
                    self.send(run_id, event_id, kind, n)
                except RunEndedError:
                    assert run.status != "running"
                    continue
                assert run.status == "running"
                if event_id not in run.sent:
                    run.sent.add(event_id)
                    run.emit(event_id, self.rig.program.router.route(kind), None, n)

    @leased
    @rule(n=index, sends=kinds, writes=st.integers(0, 2), times=st.integers(1, 2))
    def make_effects(self, n: int, sends: list[type[Event]], writes: int, times: int) -> None:
        for delivery in self.one_of(self.leases, n):
            route = self.rig.program.router.route
            effects: list[Effect] = [Sent(event=kind(n=n), route=route(kind)) for kind in sends]
            effects += [Written(event=Done(n=one)) for one in range(writes)]
            effects += [StateSet(key=f"k{n % 3}", value=b"%d" % n, version=None)]
            for _ in range(times):
                self.applied(delivery, effects, n)

    @leased
    @rule(n=index)
    def ask_for_the_lock(self, n: int) -> None:
        for delivery in self.one_of(self.leases, n):
            run, token = self.runs[delivery.run_id], f"{delivery.id}.{delivery.fence}"
            refused = run.refusal(delivery.id, delivery.fence)
            try:
                held = self.rig.run(self.rig.broker.state.lock(delivery, token, WorkerId("w1")))
            except LeaseLostError:
                assert refused is not None
                return
            assert refused is None
            assert run.lock((delivery.id, delivery.fence, token)) is held

    @leased
    @rule(n=index)
    def give_the_lock_back(self, n: int) -> None:
        for delivery in self.one_of(self.leases, n):
            token = f"{delivery.id}.{delivery.fence}"
            self.rig.run(self.rig.broker.state.unlock(delivery.run_id, token))
            self.runs[delivery.run_id].unlock(token)

    @leased
    @rule(n=index)
    def former_holder_gives_its_place_back(self, n: int) -> None:
        gone = [d for d in self.places if self.runs[d.run_id].refusal(d.id, d.fence) is not None]
        for delivery in self.one_of(gone, n):
            self.rig.run(self.rig.broker.deliveries.free_places(self.rig.lane, [delivery]))

    @running
    @rule(n=index)
    def copy_an_entry(self, n: int) -> None:
        """What a client that repeats XADD by itself would do."""
        for run_id in self.one_run(n):
            dids = [*self.runs[run_id].live, *self.runs[run_id].done]
            for did in self.one_of(dids, n):
                event_id, _, step = did.rpartition("@")
                group = self.one_of([g for g in self.rig.groups if g.step == step], n)[0]
                self.add_entry(group.kind, group.event, step, {"r": run_id, "e": event_id, "s": step})

    @running
    @rule(n=index)
    def add_nonsense(self, n: int) -> None:
        group = self.rig.groups[n % len(self.rig.groups)]
        self.add_entry(group.kind, group.event, group.step, {"x": "y"})
        self.letters += 1

    @running
    @rule(n=index, what=st.sampled_from(["trim", "destroy", "delete", "setid", "watch", "queued", "ready", "bell"]))
    def lose_an_index(self, n: int, what: str) -> None:
        self.intact = False
        if what in ("ready", "bell"):
            self.rig.raw.delete(self.rig.key(what, self.rig.lane))
        elif what in ("watch", "queued"):
            lost = sorted(self.rig.members(what))[n % 2 :: 2]
            if lost:
                self.rig.raw.zrem(self.rig.key(what), *lost)
        else:
            used = [one for one in self.rig.groups if self.rig.raw.exists(self.stream(one.kind, one.event))]
            for group in self.one_of(used, n):
                self.destroy(self.stream(group.kind, group.event), group.step, what)

    @precondition(lambda self: not self.intact)
    @rule()
    def heal(self) -> None:
        """What sweeps and audits do by themselves, in less time."""
        self.rig.audit()
        self.rig.make_due("queued")
        self.sweep()
        self.intact = True

    @invariant()
    def all_holds(self) -> None:
        if hasattr(self, "rig"):
            self.the_truth_is_the_models()
            self.what_is_dispatched_is_watched()
            self.live_runs_are_the_running_ones()
            self.limits_hold()
            self.feeds_and_letters_are_counted()

    def the_truth_is_the_models(self) -> None:
        for run_id, run in self.runs.items():
            truth = self.rig.truth(run_id)
            assert truth.status == run.status
            assert not truth.live.keys() & truth.backlog
            assert truth.live.keys() | truth.backlog == run.live.keys()
            assert truth.done == run.done.keys()
            for did, found in truth.live.items():
                expected = run.live[did]
                fence = found.get("n", b"").decode() or None
                told = (found["st"].decode(), found["a"], found["c"], fence)
                assert told == (expected.state, expected.attempt, expected.crashes, expected.fence), did

    def what_is_dispatched_is_watched(self) -> None:
        if not self.intact:
            return
        watch, queued = set[str](), set[str]()
        for run_id, run in self.runs.items():
            truth = self.rig.truth(run_id)
            for did, record in truth.live.items():
                (queued if record["st"] == b"q" else watch).add(f"{run_id}|{did}")
            if run.begun and run.status == "running":
                watch.add(f"{run_id}|!deadline")
        assert self.rig.members("watch") == watch
        assert self.rig.members("queued") == queued

    def live_runs_are_the_running_ones(self) -> None:
        raw = cast("list[bytes]", self.rig.raw.zrange(self.rig.key("live_runs", self.rig.lane), 0, -1))
        assert {one.decode() for one in raw} == {r for r, run in self.runs.items() if run.status == "running"}

    def limits_hold(self) -> None:
        assert len(self.rig.places("limited")) <= LIMIT
        records = [one for run in self.runs.values() for one in run.live.values()]
        assert sum(one.step == "limited" and one.state == "l" for one in records) <= LIMIT
        for run_id in self.runs:
            # An event for two steps may not be cut in two, so an empty window takes it whole.
            assert len(self.rig.truth(run_id).live) <= max(self.window, 2)

    def feeds_and_letters_are_counted(self) -> None:
        for run_id, run in self.runs.items():
            assert int(self.rig.raw.hget(self.rig.key("run", run_id), "seq") or 0) == run.feed
        assert self.rig.raw.xlen(self.rig.key("dead")) <= self.letters + sum(r.letters for r in self.runs.values())

    def one_of(self, choices: Sequence, n: int) -> list:
        return [choices[n % len(choices)]] if choices else []

    def one_run(self, n: int) -> list[str]:
        return self.one_of(sorted(self.runs), n)

    def held(self) -> list[Delivery]:
        return [one for one in self.leases if self.runs[one.run_id].refusal(one.id, one.fence) is None]

    def one_held(self, n: int) -> list[Delivery]:
        return self.one_of(self.held(), n)

    def take(self, delivery: Delivery) -> None:
        record = self.runs[delivery.run_id].claim(delivery.id, delivery.fence)
        told = (delivery.step, delivery.attempt, delivery.crashes, delivery.collection)
        assert told == (record.step, record.attempt, record.crashes, record.collection)
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
    ) -> None:
        plan = self.rig.plan(delivery, events, listed=listed, decisions=decisions)
        expected = self.runs[delivery.run_id].commit(delivery.id, delivery.fence, plan, n)
        assert self.rig.commit(plan) is expected

    def collected(self, delivery: Delivery) -> tuple[CollectDecision, ...]:
        """What ``collect_events`` decides on what the claim brought."""
        name, want = EventName("Loose"), {EventName("Loose"): COLLECTED}
        event = self.rig.program.codec.decode_event(delivery.payload)
        snapshot = delivery.buffers.get("default")
        if snapshot is None or snapshot.counts.get(name, 0) + 1 < COLLECTED:
            return (CollectDecision(buffer="default", name=name, event=event, want=want, fire=False),)
        if snapshot.items is None:
            needed = Undecided(buffer="default", want=want)
            snapshot = self.rig.run(self.rig.broker.deliveries.snapshot(delivery, needed))["default"]
        items = (snapshot.items or {})[name][: COLLECTED - 1]
        used = {name: (items[0][0], len(items))}
        return (CollectDecision(buffer="default", name=name, event=event, want=want, fire=True, used=used),)

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
                run.emit(effect_id, effect.route, None, n)
            run.feed += isinstance(effect, Written)
            if isinstance(effect, StateSet):
                run.state[effect.key] = effect.value

    def send(self, run_id: str, event_id: str, kind: type[Event], n: int) -> None:
        payload, route = self.rig.program.codec.encode_event(kind(n=n)), self.rig.program.router.route(kind)
        self.rig.run(self.rig.broker.runs.send(RunId(run_id), EventId(event_id), route.name, payload, route))

    def due(self) -> list[tuple[str, str]]:
        raw = self.rig.raw.zrangebyscore(self.rig.key("watch"), "-inf", 1)
        return [tuple(one.decode().split("|", 1)) for one in cast("list[bytes]", raw)]

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
            for consumer in (*WORKERS, "1", "2"):
                raw.xgroup_delconsumer(key, step, consumer)

    def add_entry(self, kind: str, event: str, step: StepName | str, fields: dict[str, str]) -> None:
        self.rig.raw.xadd(self.stream(kind, event), fields)
        self.rig.raw.zadd(self.rig.key("ready", self.rig.lane), {f"{kind}:{event}|{step}": 0})
        self.strays += 1

    def everything_that_can_be_done_is_done(self) -> None:
        """Claim and commit until nothing is live. What waits for its time is due now."""
        for _ in range(200):
            self.rig.run(self.rig.broker.deliveries.free_places(self.rig.lane, self.places))
            self.rig.make_due("watch", *(f"{r}|{d}" for r, run in self.runs.items() for d in run.live))
            self.rig.make_due("queued")
            for delivery in self.held():
                self.committed(delivery, [], 0)
            self.sweep()
            for worker in WORKERS:
                for delivery in self.rig.claim(worker):
                    self.take(delivery)
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
            self.rig.raw.zadd(self.rig.key("ready", self.rig.lane), {f"{group.kind}:{group.event}|{group.step}": 0})
        for _ in range(40):
            assert [self.rig.claim(worker) for worker in WORKERS] == [(), ()]
        for worker in WORKERS:
            self.rig.goodbye(worker)
        assert self.rig.audit_of_keys() == []
