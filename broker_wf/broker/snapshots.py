"""What a run is made of, read at one moment, and a run that goes on from there: elsewhere too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import msgpack

from broker_wf.broker.connection import FAILED, Pipe, Timeouts, call_sync, sync_client
from broker_wf.broker.keys import Keys
from broker_wf.broker.kinds import spread
from broker_wf.broker.packing import pack, unpack
from broker_wf.broker.script import load
from broker_wf.core.ids import RunId
from broker_wf.errors import ContextSerdeError, ServerUnreachableError
from broker_wf.wire.blobs import Blob, Encoded

FORMAT = 1
_START = "start"
"""The family of a run that has not begun: its start event, and nothing else."""
START_FIELDS = ("start", "first_state")
"""Fields of a run's record: what it began with."""
FLAGS = ("buffers", "recovered", "waits", "unkept")
"""Fields of a run's record that say what it has used."""
_ONLY_THERE = frozenset({"inside", "numbers"})
"""Families that say who executes now: nobody does in the run that goes on."""
_RECORDS = frozenset({"live", "waiting", "held"})
_OF_A_LEASE = (b"n", b"w", b"l", b"i", b"o", b"d", b"h", b"H", b"K", b"V", b"S")

Record = dict[bytes, object]
Part = tuple[str, str, str, list[bytes]]
"""Family, what stands behind the run's id in its key, type, content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunExport:
    """A run at one moment.

    Attributes:
        state: top-level key -> encoded value.
        used_ms: how much of its time the run had used.
        parts: all that it is made of, if it was live; of a run that was cancelled what it had not finished.
    """

    status: str
    state: Mapping[str, bytes]
    used_ms: int
    flags: Mapping[str, bytes]
    parts: tuple[Part, ...]

    @property
    def can_go_on(self) -> bool:
        """Whether another run may go on where this one was."""
        return self.status == "running" or (self.status == "cancelled" and bool(self.parts))

    @property
    def content(self) -> bytes:
        """What :func:`read_content` reads."""
        parts = [[family, rest, kind, content] for family, rest, kind, content in self.parts]
        return msgpack.packb([FORMAT, self.used_ms, dict(self.flags), parts], use_bin_type=True)

    @property
    def workers(self) -> dict[str, dict[str, list[str]]]:
        """Step -> ``queue``, ``in_progress``, ``collected_waiters`` -> event names."""
        found: dict[str, dict[str, list[str]]] = defaultdict(
            lambda: {"queue": [], "in_progress": [], "collected_waiters": []}
        )
        kinds = {b"l": "in_progress", b"w": "collected_waiters"}
        for _, record in records_in(self.parts):
            kind = kinds.get(cast(bytes, record[b"st"]), "queue")
            found[cast(bytes, record[b"s"]).decode()][kind].append(cast(bytes, record[b"t"]).decode())
        return dict(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContent:
    """What a run goes on from."""

    used_ms: int
    flags: Mapping[str, bytes]
    parts: tuple[Part, ...]

    @property
    def steps(self) -> set[str]:
        """The steps that have something to do."""
        return {cast(bytes, record[b"s"]).decode() for _, record in records_in(self.parts)}

    @property
    def start(self) -> Encoded | None:
        """The start event, if the run had not begun when it was written down."""
        if not self.parts or self.parts[0][0] != _START:
            return None
        payload, *rows = self.parts[0][3]
        unpacked = (cast("tuple[bytes, int, bytes]", unpack(row)) for row in rows)
        return Encoded(payload, tuple(Blob(hash=hash_, size=size, sealed=sealed) for hash_, size, sealed in unpacked))

    def plan(self, keys: Keys, run_id: RunId) -> dict[str, object]:
        """What ``restore`` writes: nobody executes anything; what was delayed or waits is due when it was."""
        work: list[list[object]] = []
        dues: list[list[object]] = []
        waits: list[list[object]] = []
        for delivery, record in records_in(self.parts):
            state, due = record[b"st"], record.get(b"d")
            left = {name: value for name, value in record.items() if name not in _OF_A_LEASE}
            if state == b"d":
                dues.append([delivery, pack({**left, b"d": due}), due])
            elif state == b"w":
                given = {b"d": due} if due is not None else {}
                waits.append([delivery, pack({**left, **given}), "+inf" if due is None else due])
            else:
                work.append([delivery, pack({**left, b"st": b"q", b"k": b"a"})])
        kept = [part for part in self.parts if part[0] not in _ONLY_THERE | _RECORDS]
        named = [(keys.of_run(family, run_id, rest), family, kind, content) for family, rest, kind, content in kept]
        return {
            "used_ms": self.used_ms,
            "flags": dict(self.flags),
            "parts": [
                [key, kind, _unasked(content) if family == "waits" else content] for key, family, kind, content in named
            ],
            "aux": [key for key, family, _, _ in named if family not in _OWN_KEYS],
            "work": work,
            "dues": dues,
            "waits": waits,
        }


_OWN_KEYS = frozenset({"done", "backlog", "collections", "buffers", "early", "blob", "kept"})
"""Families that the end of a run drops by name; it finds the others in ``aux``."""


def records_in(parts: tuple[Part, ...]) -> Iterator[tuple[bytes, Record]]:
    """Delivery id and record of all that is live, held back or waits; what is in the backlog is not among them."""
    for family, _, _, content in parts:
        if family in ("live", "waiting"):
            for delivery, raw in zip(content[::2], content[1::2], strict=True):
                yield delivery, cast("Record", unpack(raw))
        elif family == "held":
            for raw in content:
                delivery, record = cast("tuple[bytes, Record]", unpack(raw))
                yield delivery, record


def _unasked(content: list[bytes]) -> list[bytes]:
    """Waiters without the place of their question in a feed that stays where it is."""
    left: list[bytes] = []
    for waiter_id, raw in zip(content[::2], content[1::2], strict=True):
        waiter = cast("Record", unpack(raw))
        waiter.pop(b"k", None)
        left += [waiter_id, pack(waiter)]
    return left


def start_content(event: Encoded) -> bytes:
    """What :func:`read_content` reads of a run that has not begun."""
    rows = [pack([blob.hash, blob.size, blob.sealed]) for blob in event.blobs]
    return msgpack.packb([FORMAT, 0, {}, [[_START, "", "event", [event.payload, *rows]]]], use_bin_type=True)


def read_content(content: bytes) -> RunContent:
    """Read what :attr:`RunExport.content` wrote.

    Raises:
        ContextSerdeError: it did not.
    """
    try:
        found = msgpack.unpackb(content, raw=False, strict_map_key=False)
        version, used_ms, flags, parts = found
        if version != FORMAT:
            raise ContextSerdeError(f"the saved run is of format {version}, this library reads {FORMAT}")
        read = tuple((family, rest, kind, list(items)) for family, rest, kind, items in parts)
        made = RunContent(used_ms=used_ms, flags=flags, parts=read)
        _ = made.steps, made.start
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise ContextSerdeError(f"'run' of the saved context was damaged: {error!r}") from error
    return made


def parse_export(keys: Keys, run_id: RunId, reply: object) -> RunExport | None:
    """What ``lib/export.lua`` gave; None: there is no such run."""
    if not reply:
        return None
    status, now, record, state, parts = cast("tuple[bytes, bytes, list[bytes], list[bytes], list[list[object]]]", reply)
    fields = spread({name.decode(): value for name, value in zip(record[::2], record[1::2], strict=True)})
    at_ms = int(fields.get("ended_ms", now))
    left_ms = int(fields["deadline_ms"]) - at_ms if "deadline_ms" in fields else None
    used_ms = 0 if left_ms is None else max(0, int(fields["timeout_ms"]) - left_ms)
    return RunExport(
        status=status.decode(),
        state={k.decode(): v.partition(b":")[2] for k, v in zip(state[::2], state[1::2], strict=True)},
        used_ms=used_ms,
        flags={name: fields[name] for name in FLAGS if name in fields},
        parts=tuple(part_of(keys, run_id, one) for one in parts),
    )


def part_of(keys: Keys, run_id: RunId, one: list[object]) -> Part:
    """A part as ``lib/export.lua`` gives it."""
    key, kind, content = cast("tuple[bytes, bytes, list[bytes]]", one)
    family, rest = keys.part_of_run(key.decode(), run_id)
    return family, rest, kind.decode(), content


@dataclass(frozen=True, slots=True)
class SnapshotStore:
    """Reads of runs as they stand."""

    pipe: Pipe
    timeouts: Timeouts

    def read_now(self, run_id: RunId) -> RunExport | None:
        """A run as it stands, in one script; blocks the thread that asks. None: there is no such run.

        Raises:
            ServerUnreachableError: the server does not answer.
        """
        client = sync_client(self.pipe.url, self.timeouts)
        try:
            reply = call_sync(client, self.pipe.keys, load("export"), run_id)
        except FAILED as error:
            raise ServerUnreachableError(self.pipe.url, str(error)) from error
        finally:
            client.close()
        return parse_export(self.pipe.keys, run_id, reply)

    async def cancel(self, run_id: RunId) -> RunExport | None:
        """End a run as cancelled. What it was made of; None if it had ended."""
        reply = cast("list[bytes]", await self.pipe.call(load("cancel"), run_id, 1))
        return parse_export(self.pipe.keys, run_id, unpack(reply[1])) if reply[0] == b"OK" else None
