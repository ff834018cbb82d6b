"""The process that renews the leases of one worker process, whatever holds that one up, and ends it if it hangs.

It reads messages from its standard input, each a msgpack value: first what to connect to, then lists of what has begun,
what is over and what was stopped in the worker; an empty one says that the worker's event loop turns. It answers on its
standard output: which leases are lost, and what people should know. It imports little, for there is one of it for each
worker process; it ends with its worker, whose end of the pipe nobody else holds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, cast

import msgpack

from broker_wf.broker.connection import FAILED
from broker_wf.broker.packing import pack
from broker_wf.broker.renewal import HeldPlace, LeaseKey, Renewal

Parts = Sequence[str]
Begun = tuple[Parts, int | None, Parts | None]
Message = tuple[Sequence[object], Sequence[object], Sequence[object]]
"""What has begun, what is over, what was stopped."""

_BATCH = 500
_STOP_WITHIN_MS = 5_000
_SOON_S = 0.5
_READS_APART_S = 0.02
"""To be woken for every delivery costs more than what is said of it; a lease lasts much longer than this."""
INIT = 1
_TO_TELL_S = 0.5
"""How long a worker that hangs gets to print where it does."""


class Plan(TypedDict):
    """What to connect to, and for whom."""

    url: str
    namespace: str
    timeouts: dict[str, int]
    lenient: dict[str, object]
    lease_ms: int
    stall_limit_ms: int
    pid: int


@dataclass(slots=True)
class Held:
    """A lease of the worker.

    Attributes:
        timeout_ms: of its step; the worker itself sees to it as long as its event loop turns.
        lost: it is no longer ours; what becomes of it is for the worker to say.
        stopped: the worker has said so: its place is kept while its code runs.
    """

    key: LeaseKey
    timeout_ms: int | None
    place: HeldPlace | None
    lost: bool = False
    stopped: bool = False

    def is_given_up(self, stood_ms: float, stall_limit_ms: int) -> bool:
        """Whether it is renewed no longer, now that the event loop has stood still for so long."""
        limit_ms = stall_limit_ms if self.timeout_ms is None else self.timeout_ms + _STOP_WITHIN_MS
        return stood_ms > min(limit_ms, stall_limit_ms)


@dataclass(slots=True)
class Book:
    """What the worker has told. Changed by the thread that reads, read by the one that renews."""

    stall_limit_ms: int
    heard: float = field(default_factory=time.monotonic)
    _held: dict[LeaseKey, Held] = field(default_factory=dict[LeaseKey, Held])

    def take(self, message: Message) -> None:
        """Note what has begun, what is over, what was stopped; and that the event loop turns."""
        begun, over, stopped = message
        for key, timeout_ms, place in cast("Sequence[Begun]", begun):
            self._held[_three(key)] = Held(_three(key), timeout_ms, None if place is None else _three(place))
        for key in cast("Sequence[Parts]", over):
            self._held.pop(_three(key), None)
        for key in cast("Sequence[Parts]", stopped):
            if _three(key) in self._held:
                self._held[_three(key)].stopped = True
        self.heard = time.monotonic()

    @property
    def stood_ms(self) -> float:
        """How long the event loop has stood still."""
        return (time.monotonic() - self.heard) * 1000

    def wanted(self) -> tuple[list[Held], int]:
        """The leases that are to be renewed, and how many of the others were given up."""
        stood_ms, everything = self.stood_ms, list(self._held.values())
        wanted = [one for one in everything if not one.is_given_up(stood_ms, self.stall_limit_ms)]
        return wanted, len(everything) - len(wanted)


@dataclass(slots=True)
class Patience:
    """How long a worker is waited for that hangs: what it held is begun elsewhere by then.

    Attributes:
        well: when the worker was last seen not to hang, or not to execute at all.
    """

    lasts_s: float
    well: float = field(default_factory=time.monotonic)

    def is_over(self, *, hangs: bool) -> bool:
        """Whether it has hung for longer than that."""
        if not hangs:
            self.well = time.monotonic()
        return time.monotonic() - self.well > self.lasts_s


@dataclass(slots=True, kw_only=True)
class Renewer:
    """Renews what is in the book, each third of a lease; ends a worker that hangs a lease after they were given up."""

    book: Book
    renewal: Renewal
    lease_ms: int
    parent: int
    report_fd: int
    _patience: Patience = field(init=False)
    _given_up: int = 0

    def __post_init__(self) -> None:
        self._patience = Patience(self.lease_ms / 1000)

    def run(self) -> None:
        """Renew until the worker has gone."""
        self._say([], "")
        while is_alive(self.parent):
            pause_s = self.lease_ms / 3000
            try:
                if executes(self.parent):
                    self.renew()
                else:
                    self._patience.is_over(hangs=False)
            except FAILED as error:
                self._say([], f"leases could not be renewed: {error}; trying again")
                self.renewal.close()
                pause_s = min(_SOON_S, pause_s)
            began = time.monotonic()
            time.sleep(pause_s)
            if time.monotonic() - began > 2 * pause_s + 1:
                # This process did not execute either, and what the worker has said since is not read yet.
                self._patience.is_over(hangs=False)

    def renew(self) -> None:
        """Renew all once.

        Raises:
            what ``connection.FAILED`` names.
        """
        wanted, given_up = self.book.wanted()
        if given_up > self._given_up:
            self._say([], f"the event loop has stood still: {given_up} leases are renewed no longer")
        self._given_up = given_up
        if self._patience.is_over(hangs=given_up > 0 or self.book.stood_ms > self.book.stall_limit_ms):
            end_worker(self.parent, self.book.stood_ms / 1000)
        leases = [one for one in wanted if not one.stopped and not one.lost]
        for start in range(0, len(leases), _BATCH):
            batch = leases[start : start + _BATCH]
            lost = [batch[at] for at in self.renewal.renew([one.key for one in batch], self.lease_ms)]
            for one in lost:
                one.lost = True
            if lost:
                self._say([one.key for one in lost], "")
        stopping = [(one.place, one.key) for one in wanted if one.stopped and one.place is not None]
        self.renewal.hold_places(stopping, self.lease_ms)

    def _say(self, lost: Sequence[LeaseKey], note: str) -> None:
        try:
            os.write(self.report_fd, pack([lost, note]))
        except BrokenPipeError:  # the worker has gone
            os._exit(0)


def is_alive(parent: int) -> bool:
    """Whether this process still has the parent it was started by."""
    return os.getppid() == parent


def executes(parent: int) -> bool:
    """Whether a process is not stopped by a signal. Where that cannot be known, the limit on stalls stands for it."""
    try:
        stat = Path(f"/proc/{parent}/stat").read_text("utf-8", "replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] not in "TtXZ"


def end_worker(pid: int, stood_s: float, is_there: Callable[[int], bool] = is_alive) -> None:
    """End a worker that hangs; it prints before where its threads are, for even then its signals are heard.

    The first process of a container cannot be killed from within, and sees to its end itself.

    Args:
        is_there: whether it is the worker that has this pid; it may have ended, and the pid be another's.
    """
    if pid == INIT or not is_there(pid):
        return
    told = f"worker process {pid} has stood still for {stood_s:.0f} s and is ended; what it did is begun elsewhere"
    os.write(sys.stderr.fileno(), f"{told}\n".encode())
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGQUIT)
        time.sleep(_TO_TELL_S)
        if is_there(pid):
            os.kill(pid, signal.SIGKILL)


def read_for_ever(source: int, unpacker: msgpack.Unpacker, book: Book) -> None:
    """Take messages in; end the process when there can be no more."""
    while True:
        for message in unpacker:
            book.take(message)
        part = os.read(source, 65_536)
        if not part:
            os._exit(0)
        unpacker.feed(part)
        time.sleep(_READS_APART_S)


def main() -> None:
    """Renew for the process at the other end of standard input and output."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    source, unpacker = sys.stdin.fileno(), msgpack.Unpacker(raw=False, strict_map_key=False)
    plan: Plan | None = None
    while plan is None:
        part = os.read(source, 65_536)
        if not part:
            return
        unpacker.feed(part)
        plan = cast("Plan | None", next(unpacker, None))
    book = Book(plan["stall_limit_ms"])
    threading.Thread(target=read_for_ever, args=(source, unpacker, book), daemon=True).start()
    renewal = Renewal.at(plan["url"], plan["namespace"], plan["timeouts"], plan["lenient"])
    Renewer(
        book=book,
        renewal=renewal,
        lease_ms=plan["lease_ms"],
        parent=plan["pid"],
        report_fd=sys.stdout.fileno(),
    ).run()


def _three(parts: Parts) -> tuple[str, str, str]:
    first, second, third = parts
    return first, second, third


if __name__ == "__main__":
    main()
