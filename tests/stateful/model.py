"""What the scripts promise, in plain Python: no streams, no indexes, no time."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker_wf.broker.deliveries import Ended
from broker_wf.core.commit import Opening, Recovery, StepCommit
from broker_wf.core.outcome import CollectDecision
from broker_wf.core.routing import Route
from tests.stateful.flow import COLLECTED

MAX_CRASHES = 3


@dataclass(slots=True)
class Told:
    """All that an execution was told it had done by call, by id."""

    effects: set[str] = field(default_factory=set[str])
    changes: set[str] = field(default_factory=set[str])


@dataclass(slots=True, kw_only=True)
class Record:
    """A live delivery; ``q`` queued (in a stream or in the backlog), ``l`` leased, ``d`` delayed, ``w`` waiting.

    Attributes:
        changes: what each change of the state gave, by id.
        waiters: by id.
        due: the time-out for which it is watched while it waits.
        parked: the fence of the lease that was parked last.
        recoveries: how often the handler was called on the way to it.
    """

    step: str
    collection: str | None
    batch: tuple[int, ...] | None = None
    state: str = "q"
    attempt: int = 1
    crashes: int = 0
    recoveries: int = 0
    fence: str | None = None
    effects: set[str] = field(default_factory=set[str])
    changes: dict[str, int] = field(default_factory=dict[str, int])
    waiters: dict[str, Waiter] = field(default_factory=dict[str, "Waiter"])
    due: int | None = None
    parked: str | None = None

    def back(self, state: str) -> None:
        self.state, self.fence = state, None


@dataclass(slots=True, kw_only=True)
class Waiter:
    """``w`` waits, ``a`` answered, ``t`` timed out.

    Attributes:
        wants: whether the event's number is odd; None: any number.
    """

    wants: int | None
    timeout: int | None
    state: str = "w"
    answer: int | None = None

    def takes(self, n: int) -> bool:
        return self.state == "w" and self.wants in (None, n % 2)


@dataclass(slots=True, kw_only=True)
class Collection:
    parent: str | None
    open: set[str] = field(default_factory=set[str])
    batches: dict[str, list[int]]
    recoveries: int = 0


Ask = tuple[str, str, str]
"""Delivery, fence and token of who asks for the run's lock."""


@dataclass(slots=True)
class Run:
    status: str = "running"
    live: dict[str, Record] = field(default_factory=dict[str, Record])
    done: dict[str, str] = field(default_factory=dict[str, str])
    collections: dict[str, Collection] = field(default_factory=dict[str, Collection])
    slots: dict[tuple[str, str | None, int], list[tuple[int, int]]] = field(
        default_factory=dict[tuple[str, "str | None", int], list[tuple[int, int]]]
    )
    buffer: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    sent: set[str] = field(default_factory=set[str])
    early: list[int] = field(default_factory=list[int])
    state: dict[str, bytes] = field(default_factory=dict[str, bytes])
    asks: list[Ask] = field(default_factory=list[Ask])
    feed: int = 0
    letters: int = 0
    begun: bool = False

    def refusal(self, did: str, fence: str) -> Ended | None:
        """Why a lease is not what its holder believes; None: it is."""
        record = self.live.get(did)
        if record is not None and record.state == "l" and record.fence == fence:
            return None
        if self.done.get(did) == fence:
            return Ended.DONE
        return Ended.GONE if self.status != "running" else Ended.FENCED

    def forgets(self, did: str, told: Told | None) -> bool:
        """Whether something is gone that a holder was told it had done."""
        record, told = self.live[did], told or Told()
        return not (told.effects <= record.effects and told.changes <= record.changes.keys())

    def claim(self, did: str, fence: str) -> Record:
        record = self.live[did]
        assert record.state == "q", f"{did} was claimed, but it is {record.state!r}"
        record.state, record.fence, self.begun = "l", fence, True
        return record

    def commit(self, did: str, fence: str, commit: StepCommit, n: int, told: Told | None) -> Ended:
        refused = self.refusal(did, fence)
        if refused is not None:
            return refused
        if not all(self._stands(one) for one in commit.decisions):
            return Ended.STALE_BUFFER
        if self.forgets(did, told):
            return Ended.FORGOTTEN
        record = self.live.pop(did)
        for decision in commit.decisions:
            self._decide(did, record, decision)
        self.done[did] = fence
        self._grant()
        if commit.stop is not None:
            self.end("completed")
            return Ended.DONE
        inner = record.collection
        if commit.opening is not None:
            inner = self._open(commit.opening, record.collection, record.recoveries)
        for one in commit.emissions:
            self.emit(one.id, one.route, inner, n, record.recoveries)
        self._leave(record.collection, did)
        if commit.opening is not None and not self.collections[commit.opening.id].open:
            self._close(commit.opening.id)
        return Ended.DONE

    def fail(self, did: str, fence: str, told: Told | None, *, delayed: bool, final: bool) -> Ended:
        refused = self.refusal(did, fence)
        if refused is not None:
            return refused
        if self.forgets(did, told):
            return Ended.FORGOTTEN
        if final:
            self.live.pop(did)
            self.done[did] = fence
            self.end("failed")
            return Ended.DONE
        record = self.live[did]
        record.attempt += 1
        record.effects.clear()
        record.back("d" if delayed else "q")
        self._grant()
        return Ended.DONE

    def hand_to_handler(self, did: str, fence: str, recovery: Recovery, n: int, told: Told | None) -> Ended:
        refused = self.refusal(did, fence)
        if refused is not None:
            return refused
        if self.forgets(did, told):
            return Ended.FORGOTTEN
        record = self.live.pop(did)
        self.done[did] = fence
        self._grant()
        emission = recovery.emission
        self.emit(emission.id, emission.route, record.collection, n, record.recoveries + 1)
        self._leave(record.collection, did)
        return Ended.DONE

    def suspend(self, did: str, fence: str, waiter_id: str, waiter: Waiter) -> Ended:
        refused = self.refusal(did, fence)
        if refused is not None:
            parked = refused is Ended.FENCED and did in self.live and self.live[did].parked == fence
            return Ended.DONE if parked else refused
        record = self.live[did]
        waiter = record.waiters.setdefault(waiter_id, waiter)
        found = next((n for n in self.early if waiter.takes(n)), None)
        if found is not None:
            self.early.remove(found)
            waiter.state, waiter.answer = "a", found
        record.parked, record.due = fence, waiter.timeout
        record.back("w" if waiter.state == "w" else "q")
        self._grant()
        return Ended.DONE

    def time_out(self, did: str) -> bool:
        """A waiting delivery is looked at because it is due; whether it goes on."""
        record = self.live[did]
        if record.due is None:
            return False
        for waiter in record.waiters.values():
            if waiter.state == "w" and waiter.timeout is not None and waiter.timeout <= record.due:
                waiter.state = "t"
        record.back("q")
        return True

    def _answer(self, n: int) -> None:
        taken = False
        for record in self.live.values():
            for waiter in record.waiters.values():
                if waiter.takes(n):
                    waiter.state, waiter.answer, taken = "a", n, True
                    if record.state == "w":
                        record.back("q")
        if not taken:
            self.early.append(n)

    def release(self, did: str, fence: str) -> bool:
        if self.refusal(did, fence) is not None:
            return False
        self.live[did].back("q")
        self._grant()
        return True

    def lease_over(self, did: str) -> None:
        record = self.live.get(did)
        if record is None:
            return
        record.crashes += 1
        if record.crashes >= MAX_CRASHES:
            self.done[did] = record.fence or ""
            self.letters += 1
            self.end("failed")
            return
        record.back("q")
        self._grant()

    def end(self, status: str) -> None:
        self.status = status
        self.feed += 1
        self.live.clear()
        self.collections.clear()
        self.asks.clear()

    def emit(self, event_id: str, route: Route, collection: str | None, n: int, recoveries: int = 0) -> int:
        """Hand an event to its takers; says how many deliveries came of it."""
        before = len(self.live)
        if route.name == "Answer":
            self._answer(n)
        for step in route.to:
            self._add(event_id, step, collection, recoveries=recoveries)
        for slot in route.slots:
            queues = [self.slots.setdefault((slot.step, collection, i + 1), []) for i in range(slot.count)]
            queues[slot.index - 1].append((n, recoveries))
            if all(queues):
                most = max(queue.pop(0)[1] for queue in queues)
                self._add(event_id, slot.step, collection, recoveries=most)
        if collection is not None:
            joined = self.collections[collection]
            for step in route.into:
                if step in joined.batches:
                    joined.batches[step].append(n)
                    joined.recoveries = max(joined.recoveries, recoveries)
        return len(self.live) - before

    def lock(self, ask: Ask) -> bool:
        """Ask for the lock; says whether it is held now."""
        if ask not in self.asks:
            self.asks.append(ask)
        return self.asks[0] == ask

    def unlock(self, token: str) -> None:
        self.asks = [one for one in self.asks if one[2] != token]
        self._grant()

    def _grant(self) -> None:
        """Nobody holds or gets the lock who does not hold the lease any more."""
        self.asks = [ask for ask in self.asks if self.refusal(ask[0], ask[1]) is None]

    def _add(
        self,
        event_id: str,
        step: str,
        collection: str | None,
        batch: tuple[int, ...] | None = None,
        *,
        recoveries: int = 0,
    ) -> None:
        did = f"{event_id}@{step}"
        assert did not in self.live
        assert did not in self.done
        self.live[did] = Record(step=step, collection=collection, batch=batch, recoveries=recoveries)
        if collection is not None:
            self.collections[collection].open.add(did)

    def _open(self, opening: Opening, parent: str | None, recoveries: int) -> str:
        batches: dict[str, list[int]] = {join.step: [] for join in opening.joins}
        self.collections[opening.id] = Collection(parent=parent, batches=batches, recoveries=recoveries)
        if parent is not None:
            self.collections[parent].open.add(opening.id)
        return opening.id

    def _leave(self, collection: str | None, member: str) -> None:
        if collection is None:
            return
        self.collections[collection].open.discard(member)
        if not self.collections[collection].open:
            self._close(collection)

    def _close(self, collection: str) -> None:
        closed = self.collections[collection]
        for step, batch in closed.batches.items():
            self._add(collection, step, closed.parent, tuple(batch), recoveries=closed.recoveries)
        del self.collections[collection]
        self._leave(closed.parent, collection)

    def _stands(self, decision: CollectDecision) -> bool:
        if not decision.fire:
            return len(self.buffer) + 1 < COLLECTED
        (first, count) = next(iter(decision.used.values()))
        return [did for did, _ in self.buffer[:1]] == [first] and len(self.buffer) >= count

    def _decide(self, did: str, record: Record, decision: CollectDecision) -> None:
        if decision.fire:
            taken = [recoveries for _, recoveries in self.buffer[: COLLECTED - 1]]
            record.recoveries = max(record.recoveries, *taken)
            self.buffer = self.buffer[COLLECTED - 1 :]
        elif len(self.buffer) < COLLECTED:
            self.buffer.append((did, record.recoveries))
