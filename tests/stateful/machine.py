"""What workers, drivers and accidents may do to the scripts in any order, and what must hold after each step."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from broker_wf.core.ids import RunId, StepName
from broker_wf.core.outcome import Effect, Sent, StateSet, Written
from broker_wf.errors import RunConflictError
from broker_wf.events import Event, StopEvent
from tests.stateful.accidents import Accidents
from tests.stateful.acts import in_place, one_of
from tests.stateful.flow import Answer, Both, Done, Item, Left, Loose, Part, Piece, Right, Task
from tests.stateful.model import Run
from tests.stateful.rig import LATER_MS
from tests.stateful.together import committed_in_one_go, committed_together
from tests.stateful.twins import TIMEOUTS, WORKERS

KINDS: tuple[type[Event], ...] = (Task, Both, Left, Right, Loose, Item, Part, Piece, Done, Answer)
MEMBERS: dict[str, type[Event]] = {"work": Done, "shape": Piece, "merge": Done}
LISTS: dict[str, type[Event]] = {"begin": Item, "work": Part}

index = st.integers(0, 1_000)
running = precondition(lambda self: bool(self.runs))
leased = precondition(lambda self: bool(self.leases))
holding = precondition(lambda self: bool(self.held()))
wanted = st.sampled_from([None, 0, 1])
kinds = st.lists(st.sampled_from(KINDS), max_size=3)


class Scripts(Accidents):
    @initialize(window=st.sampled_from([1, 3, 1000]), shared=st.booleans())
    def begin(self, window: int, shared: bool) -> None:
        self.set_up(window, shared)

    @rule(n=st.integers(0, 2), another=st.booleans())
    def submit(self, n: int, another: bool) -> None:
        run_id = f"r{n}"
        known = self.runs.get(run_id)
        if known is None:
            assert self.rig.submit(run_id) == "running"
            run = self.runs[run_id] = Run()
            run.emit("0", self.rig.program.router.route(self.rig.program.spec.start_class), None, 0)
        elif not another:
            assert self.rig.submit(run_id) == known.status
        else:
            with pytest.raises(RunConflictError):
                self.rig.submit(run_id, start_hash="another")

    @running
    @rule(worker=st.sampled_from(WORKERS), free=st.sampled_from([1, 2, 1000]), greedy=st.booleans())
    def claim_some(self, worker: str, free: int, greedy: bool) -> None:
        self.claimed(worker, free, greedy=greedy)

    @running
    @rule(worker=st.sampled_from(WORKERS), free=st.sampled_from([1, 2, 1000]))
    def claim_in_place_of_one_that_went_along(self, worker: str, free: int) -> None:
        self.claimed(worker, free, way=in_place)

    @running
    @rule(worker=st.sampled_from(WORKERS))
    def claim_all(self, worker: str) -> None:
        self.took_all(worker)

    @holding
    @rule(n=index, count=st.integers(1, 3), events=kinds, stays=st.booleans())
    def commit(self, n: int, count: int, events: list[type[Event]], stays: bool) -> None:
        for delivery in self.some_held(n, count):
            decisions = self.rig.collected(delivery) if delivery.step == "collect" else ()
            self.committed(delivery, [event(n=n) for event in events], n, decisions=decisions, stays=stays)

    @holding
    @rule(n=index, count=st.integers(0, 3))
    def commit_a_list(self, n: int, count: int) -> None:
        held = [one for one in self.held() if one.step in LISTS]
        for delivery in one_of(held, n):
            self.committed(delivery, [LISTS[delivery.step](n=n)] * count, n, listed=True)

    @running
    @rule(n=index, count=st.integers(2, 3))
    def fan_out(self, n: int, count: int) -> None:
        self.took_all("w1")
        self.commit_a_list(n, count)
        self.took_all("w2")

    @holding
    @rule(n=index, count=st.integers(1, 3))
    def commit_members_of_collections(self, n: int, count: int) -> None:
        for delivery in self.some_held(n, count):
            if delivery.step in MEMBERS:
                self.committed(delivery, [MEMBERS[delivery.step](n=n)], n)

    @holding
    @rule(n=index, kinds=kinds, greedy=st.booleans())
    def commit_together(self, n: int, kinds: list[type[Event]], greedy: bool) -> None:
        if greedy:
            self.took_all("w1")
        for run_id in self.one_run(n):
            mine = [one for one in self.held() if one.run_id == run_id and one.step != "collect"]
            for kind in kinds[:1]:
                committed_together(self, mine[: n % 4 + 2], kind, n)

    @holding
    @rule(n=index, first=st.sampled_from([Item, Part, Loose]), more=kinds, twice=st.booleans())
    def commit_in_one_go(self, n: int, first: type[Event], more: list[type[Event]], twice: bool) -> None:
        for delivery in self.some_held(n, 1):
            for _ in range(1 + twice):
                committed_in_one_go(self, delivery, [first, *more], n)

    @holding
    @rule(n=index, count=st.integers(1, 4), how=st.sampled_from(["release", "crash", "fail now", "fail for later"]))
    def do_not_finish(self, n: int, count: int, how: str) -> None:
        some = self.some_held(n, count)
        for delivery in some:
            if how == "crash":
                self.rig.make_due("watch", f"{delivery.run_id}|{delivery.id}")
            elif how == "release":
                self.released([delivery])
            else:
                self.failed(delivery, LATER_MS if how == "fail for later" else 0)

    @holding
    @rule(n=index, count=st.integers(1, 3), twice=st.booleans())
    def fail_for_good_and_be_handled(self, n: int, count: int, twice: bool) -> None:
        for delivery in self.some_held(n, count):
            self.handed_to_handler(delivery, n)
            if twice:
                self.handed_to_handler(delivery, n)

    @holding
    @rule(n=index, count=st.integers(1, 3), waiter=st.sampled_from(sorted(TIMEOUTS)), wants=wanted, twice=st.booleans())
    def wait(self, n: int, count: int, waiter: str, wants: int | None, twice: bool) -> None:
        for delivery in self.some_held(n, count):
            self.suspended(delivery, waiter, wants)
            if twice:
                self.suspended(delivery, waiter, wants)

    @running
    @rule(n=index)
    def answer(self, n: int) -> None:
        for run_id in self.one_run(n):
            self.sent(run_id, f"a{n}", Answer, n)

    @leased
    @rule(
        n=index,
        what=st.sampled_from(["commit", "fail", "renew", "release", "effects", "lock", "unlock", "place", "wait"]),
    )
    def act_with_any_lease_there_ever_was(self, n: int, what: str) -> None:
        for delivery in one_of(self.leases, n):
            if what == "commit":
                self.committed(delivery, [Loose(n=n)], n, stays=True)
            elif what == "fail":
                self.failed(delivery, 0)
            elif what == "renew":
                kept = self.runs[delivery.run_id].refusal(delivery.id, delivery.fence) is None
                assert self.rig.renew(delivery) is kept
            elif what == "release":
                self.released(self.leases[self.leases.index(delivery) :][:3])
            elif what == "effects":
                self.applied(delivery, [Written(event=Done(n=n))], n)
            elif what == "lock":
                self.locked(delivery)
            elif what == "unlock":
                self.unlocked(delivery)
            elif what == "wait":
                self.suspended(delivery, "soon", None)
            elif self.runs[delivery.run_id].refusal(delivery.id, delivery.fence) is not None:
                self.rig.run(self.rig.broker.deliveries.free_places(self.rig.lane, [delivery]))

    @holding
    @rule(n=index, what=st.sampled_from(["commit", "renew", "effects"]))
    def come_back_after_another_has_taken_over(self, n: int, what: str) -> None:
        for former in self.some_held(n, 1):
            self.rig.make_due("watch", f"{former.run_id}|{former.id}")
            self.swept(queued=False, delayed=False)
            self.took_all("w2")
            run = self.runs[former.run_id]
            if what == "commit":
                self.committed(former, [Task(n=n)], n)
            elif what == "effects":
                self.applied(former, [Written(event=Done(n=n))], n)
            else:
                assert self.rig.renew(former) is (run.refusal(former.id, former.fence) is None)

    @holding
    @rule(n=index, sends=kinds, writes=st.integers(0, 2), only=st.sampled_from([None, "one", "other"]))
    def make_effects_twice(self, n: int, sends: list[type[Event]], writes: int, only: str | None) -> None:
        route = self.rig.program.router.route
        effects: list[Effect] = [Sent(event=kind(n=n), route=route(kind)) for kind in sends]
        effects += [Written(event=Done(n=one)) for one in range(writes)]
        effects += [StateSet(key=f"k{n % 3}", value=b"%d" % n, version=None)]
        if only is not None:
            effects += [Sent(event=Both(n=n), route=route(Both, StepName(only)))]
        for delivery in self.some_held(n, 1):
            self.applied(delivery, effects, n)
            self.applied(delivery, effects, n)

    @holding
    @rule(n=index, name=st.sampled_from(["a", "b"]), by=st.sampled_from([1, -200, 70_000]))
    def raise_a_number_twice(self, n: int, name: str, by: int) -> None:
        for delivery in self.some_held(n, 1):
            self.raised(delivery, f"{name}.{by}", by)
            self.raised(delivery, f"{name}.{by}", by)

    @holding
    @rule(n=index, count=st.integers(1, 3))
    def ask_for_the_lock(self, n: int, count: int) -> None:
        for delivery in self.some_held(n, count):
            self.locked(delivery)

    @running
    @rule(n=index, kind=st.sampled_from(KINDS))
    def send_from_outside_twice(self, n: int, kind: type[Event]) -> None:
        for run_id in self.one_run(n):
            self.sent(run_id, f"x{n}", kind, n)
            self.sent(run_id, f"x{n}", kind, n)

    @running
    @rule(n=index, how=st.sampled_from(["stop", "cancel", "deadline", "failure"]))
    def end_a_run(self, n: int, how: str) -> None:
        for run_id in self.one_run(n):
            run = self.runs[run_id]
            mine = [one for one in self.held() if one.run_id == run_id]
            if how == "deadline" and run.begun:
                self.rig.make_due("watch", f"{run_id}|!deadline")
            elif how == "cancel":
                if run.status == "running":
                    run.end("cancelled")
                assert self.rig.run(self.rig.broker.runs.cancel(RunId(run_id))) == run.status
            elif mine and how == "stop":
                self.committed(mine[n % len(mine)], [StopEvent()], n)
            elif mine:
                self.failed(mine[n % len(mine)], None)

    @running
    @rule(queued=st.booleans(), delayed=st.booleans())
    def sweep(self, queued: bool, delayed: bool) -> None:
        self.swept(queued, delayed)

    @running
    @rule()
    def audit(self) -> None:
        repairs, stuck = self.rig.audit()
        assert stuck == 0
        if self.intact:
            assert repairs == 0

    @running
    @rule(n=index, nonsense=st.booleans())
    def add_a_stray_entry(self, n: int, nonsense: bool) -> None:
        """A copy, as of a client that repeats XADD by itself; or what no program of ours writes."""
        if nonsense:
            group = self.rig.groups[n % len(self.rig.groups)]
            self.add_entry(group.kind, group.event, group.step, {"x": "y"})
            self.letters += 1
            return
        for run_id in self.one_run(n):
            for did in one_of([*self.runs[run_id].live, *self.runs[run_id].done], n):
                step = did.rpartition("@")[2]
                group = one_of([g for g in self.rig.groups if g.step == step], n)[0]
                self.add_entry(group.kind, group.event, step, {"d": f"{run_id}|{did}"})

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
            for group in one_of(used, n):
                self.destroy(self.stream(group.kind, group.event), group.step, what)

    @precondition(lambda self: not self.intact)
    @rule()
    def heal(self) -> None:
        self.healed()

    @invariant()
    def all_holds(self) -> None:
        if hasattr(self, "rig"):
            truths = {run_id: self.rig.truth(run_id) for run_id in self.runs}
            self.the_truth_is_the_models(truths)
            self.what_is_dispatched_is_watched(truths)
            self.live_runs_are_the_running_ones()
            self.limits_hold(truths)
            self.feeds_and_letters_are_counted()
