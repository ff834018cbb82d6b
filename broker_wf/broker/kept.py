"""A run that has ended, gone through again up to a step: what became of its deliveries, in the order in which it did.

``lib/kept.lua`` writes it down. Going through it does as ``lib/emit.lua`` and ``commit.lua`` do, and executes nothing:
an event makes deliveries, fills slots, and goes into collections, which fire their joins when nothing is open in them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from broker_wf.broker.packing import pack, unpack
from broker_wf.broker.snapshots import Part, Record

Plan = Mapping[bytes, object]
_EARLY = 100
"""As many events as a run keeps for waiters to come."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one delivery, or an event from outside."""

    kind: bytes
    id: bytes
    raw: bytes

    @property
    def step(self) -> bytes:
        """Of a delivery."""
        return self.id.rpartition(b"@")[2]

    @property
    def collects(self) -> bool:
        """Whether it is a commit of ``collect_events``."""
        return bool(cast(Plan, self.plan)[b"decisions"])

    @property
    def plan(self) -> object:
        """As it was written down."""
        return unpack(self.raw)


def entries_of(items: Sequence[bytes]) -> list[Entry]:
    """From the items of the list."""
    return [Entry(*items[at : at + 3]) for at in range(0, len(items) - 2, 3)]


@dataclass(slots=True)
class _Collection:
    parent: bytes | None
    joins: list[list[object]]
    fired: set[bytes] = field(default_factory=set[bytes])
    open: set[bytes] = field(default_factory=set[bytes])


@dataclass(slots=True)
class Gone:
    """A run in which one step has done nothing, and nothing has come of it.

    Attributes:
        step: that one.
        born_ms: of the deliveries that are left.
        work: deliveries that are left.
        done: the entries that were gone through.
    """

    step: bytes
    born_ms: int
    work: dict[bytes, Record] = field(default_factory=dict[bytes, Record])
    done: list[Entry] = field(default_factory=list[Entry])
    _collections: dict[bytes, _Collection] = field(default_factory=dict[bytes, _Collection])
    _batches: dict[bytes, list[bytes]] = field(default_factory=lambda: defaultdict[bytes, list[bytes]](list))
    _slots: dict[bytes, list[bytes]] = field(default_factory=lambda: defaultdict[bytes, list[bytes]](list))
    _buffers: dict[bytes, list[bytes]] = field(default_factory=lambda: defaultdict[bytes, list[bytes]](list))
    _wanted: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    _early: list[bytes] = field(default_factory=list[bytes])
    _sent: set[bytes] = field(default_factory=set[bytes])

    def begin(self, routes: bytes, name: bytes, payload: bytes) -> None:
        """Hand the start event on."""
        self._emit(routes, b"0", name, payload, None)

    def go_through(self, entries: Sequence[Entry]) -> None:
        """Do again what was done, as far as that is not the step's work and has not come of it."""
        called = {one.id for one in entries if one.kind in (b"e", b"f")}
        # Whether a collection may be taken is seen too late for what its step had sent by call: it is executed again.
        ended = {one.id for one in entries if one.kind == b"c" and not (one.id in called and one.collects)}
        for one in entries:
            if self._goes(one, ended):
                self.done.append(one)

    def parts(self) -> tuple[Part, ...]:
        """What a run that goes on from here is made of."""
        return tuple(self._parts())

    def _goes(self, one: Entry, ended: set[bytes]) -> bool:
        if one.kind == b"s":
            name, payload, routes = cast("tuple[bytes, bytes, bytes]", one.plan)
            self._emit(routes, one.id, name, payload, None, from_outside=True)
            return True
        # What a delivery that is executed again has sent by call it will send again.
        if one.id not in self.work or one.id not in ended or one.step == self.step:
            return False
        if one.kind == b"c":
            return self._commit(one.id, cast(Plan, one.plan))
        plan = one.plan
        self._send(cast("list[Plan]", plan if isinstance(plan, list) else cast(Plan, plan)[b"effects"]))
        return True

    def _commit(self, delivery: bytes, plan: Plan) -> bool:
        """As ``commit.lua``. False: it took events out of a buffer that are not all there now."""
        decisions = cast("list[Plan]", plan[b"decisions"])
        step = delivery.rpartition(b"@")[2]
        if not all(self._stands(step, one) for one in decisions):
            return False
        for one in decisions:
            self._collect(delivery, step, one)
        self._send(cast("list[Plan]", plan[b"effects"]))
        record = self.work.pop(delivery)
        if record.get(b"j") not in (None, b"slots"):
            self._batches.pop(b":%s:%s" % (record[b"j"], step), None)
        outer = cast("bytes | None", record.get(b"m"))
        inner, opens = outer, cast("Plan | None", plan.get(b"opens"))
        if opens is not None:
            inner = cast(bytes, opens[b"id"])
            self._collections[inner] = _Collection(outer, cast("list[list[object]]", opens[b"joins"]))
            if outer is not None and outer in self._collections:
                self._collections[outer].open.add(inner)
        for event, name, payload in cast("list[tuple[bytes, bytes, bytes]]", plan[b"emits"]):
            self._emit(cast(bytes, plan[b"routes"]), event, name, payload, inner)
        self._leave(outer, delivery)
        if opens is not None:
            self._leave(inner, b"")
        return True

    def _send(self, effects: Sequence[Plan]) -> None:
        for one in effects:
            event = cast(bytes, one[b"id"])
            if one[b"kind"] == b"send" and event not in self._sent:
                self._sent.add(event)
                name, payload = cast(bytes, one[b"name"]), cast(bytes, one[b"payload"])
                self._emit(cast(bytes, one[b"routes"]), event, name, payload, None)

    def _emit(
        self,
        routes: bytes,
        event: bytes,
        name: bytes,
        payload: bytes,
        inside: bytes | None,
        *,
        from_outside: bool = False,
    ) -> None:
        """As ``lib/emit.lua``. What only waiters take is kept for those to come, unless it came from outside."""
        route = cast("Plan | None", cast(Plan, unpack(routes)).get(name))
        if route is None:
            return
        if route.get(b"keep") and not from_outside:
            self._early.append(pack([event, name, payload]))
        for step in cast("list[bytes]", route[b"to"]):
            self._add(event, step, name, payload, inside, {})
        for slot in cast("list[list[object]]", route[b"slots"]):
            self._fill(event, slot, payload, inside)
        for step in cast("list[bytes]", route[b"into"]):
            self._join(inside, step, payload)

    def _add(
        self, event: bytes, step: bytes, name: bytes, payload: bytes, inside: bytes | None, more: Mapping[bytes, object]
    ) -> None:
        delivery = b"%s@%s" % (event, step)
        record: Record = {
            b"st": b"q",
            b"s": step,
            b"t": name,
            b"p": payload,
            b"a": 1,
            b"c": 0,
            b"b": self.born_ms,
            **more,
        }
        if inside is not None:
            record[b"m"] = inside
            self._collections[inside].open.add(delivery)
        self.work[delivery] = record

    def _fill(self, event: bytes, slot: list[object], payload: bytes, inside: bytes | None) -> None:
        step, index, count, name = cast("tuple[bytes, int, int, bytes]", tuple(slot))
        slots = [self._slots[b":%s:%s:%d" % (step, inside or b"", at)] for at in range(1, count + 1)]
        slots[index - 1].append(payload)
        if all(slots):
            taken = pack([one.pop(0) for one in slots])
            self._add(event, step, name, taken, inside, {b"j": b"slots", b"v": index})

    def _join(self, inside: bytes | None, step: bytes, payload: bytes) -> None:
        found = self._collections.get(inside or b"")
        for join in found.joins if found else ():
            if found and inside and join[0] == step and step not in found.fired:
                batch = self._batches[b":%s:%s" % (inside, step)]
                batch.append(payload)
                if len(batch) == join[1]:
                    self._fire(inside, found, join)

    def _fire(self, inside: bytes, found: _Collection, join: list[object]) -> None:
        step, _, name = cast("tuple[bytes, int, bytes]", tuple(join))
        found.fired.add(step)
        self._add(inside, step, name, b"", found.parent, {b"j": inside})

    def _leave(self, inside: bytes | None, member: bytes) -> None:
        """As ``leave_collection``, and the collections around it."""
        while inside is not None and inside in self._collections:
            found = self._collections[inside]
            found.open.discard(member)
            if found.open:
                return
            for join in found.joins:
                if join[0] not in found.fired:
                    self._fire(inside, found, join)
            del self._collections[inside]
            inside, member = found.parent, inside

    def _stands(self, step: bytes, decision: Plan) -> bool:
        used = cast("Mapping[bytes, tuple[bytes, int]]", decision[b"used"] or {})
        for name, (first, count) in used.items():
            found = self._buffers[b":%s:%s:%s" % (step, decision[b"buffer"], name)]
            if len(found) < count or cast("list[bytes]", unpack(found[0]))[0] != first:
                return False
        return True

    def _collect(self, delivery: bytes, step: bytes, decision: Plan) -> None:
        """As ``apply_decision`` of ``lib/buffers.lua``."""
        buffer = b"%s:%s" % (step, decision[b"buffer"])
        if decision[b"fire"]:
            for name, (_, count) in cast("Mapping[bytes, tuple[bytes, int]]", decision[b"used"]).items():
                del self._buffers[b":%s:%s" % (buffer, name)][:count]
            return
        self._buffers[b":%s:%s" % (buffer, decision[b"name"])].append(pack([delivery, decision[b"payload"]]))
        self._wanted[buffer] = pack(decision[b"want"])

    def _parts(self) -> Iterator[Part]:
        live = [item for delivery, record in self.work.items() for item in (delivery, pack(record))]
        yield "live", "", "hash", live
        collections = list[bytes]()
        for name, one in self._collections.items():
            parent = {} if one.parent is None else {"m": one.parent}
            fired = dict.fromkeys(one.fired, True)
            collections += [name, pack({**parent, "joins": one.joins, "fired": fired})]
            yield "open", f":{name.decode()}", "set", sorted(one.open)
        wanted = [item for pair in self._wanted.items() for item in pair]
        for family, content in (("collections", collections), ("buffers", wanted)):
            if content:
                yield family, "", "hash", content
        for family, lists in (("batch", self._batches), ("slot", self._slots), ("buffer", self._buffers)):
            for rest, content in lists.items():
                if content:
                    yield family, rest.decode(), "list", content
        kept = [item for one in self.done for item in (one.kind, one.id, one.raw)]
        for family, content in (("early", self._early[-_EARLY:]), ("kept", kept)):
            if content:
                yield family, "", "list", content
