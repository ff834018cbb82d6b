"""N worker processes under one parent, which replaces those that die and passes signals on.

A child gets two descriptors. The first is a pipe that the parent never writes to: when it ends, the parent has gone
however it died, and the child drains. Into the second the child writes once: that it has started, or why it cannot.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

log = logging.getLogger("broker_wf.pool")

READY = b"ready"
SPOILED = 75
"""Exit code of a child that asks to be replaced: code of a step in it cannot be stopped."""

_EARLY_S = 2.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
_GRACE_S = 5.0
_LONGEST_MESSAGE = 65_536
_STOPS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """What a pool runs.

    Attributes:
        command: starts one child; what ``link`` makes of the two descriptors is added to it.
        link: arguments that tell a child its descriptors.
        drain_ms: how long a child may take to stop; 5 s later it is killed.
        start_errors: exit codes of a child that could not start and never will; they end the pool.
        first_errors: those that end it unless some child has started before.
    """

    command: Sequence[str]
    link: Callable[[int, int], Sequence[str]]
    processes: int
    drain_ms: int
    start_errors: Collection[int]
    first_errors: Collection[int] = ()


@dataclass(slots=True)
class _Place:
    """One of the N places, and the child in it."""

    number: int
    child: subprocess.Popen[bytes] | None = None
    report_fd: int = -1
    began: float = 0.0
    wait_s: float = _FIRST_WAIT_S
    start_at: float = 0.0
    report: bytes = b""


@dataclass(slots=True)
class Pool:
    """The parent. ``run`` may be called once, in the main thread."""

    plan: PoolPlan
    _places: list[_Place] = field(default_factory=list[_Place])
    _signals: list[int] = field(default_factory=list[int])
    _one_has_started: bool = False
    _stop_by: float | None = None
    _code: int = 0

    def run(self) -> int:
        """Keep the children running until a signal comes.

        Returns:
            0 if all of them drained, 1 if one had to be killed or failed while it stopped; the exit code of a
            child that cannot start, whose reason is then printed once.
        """
        self._places = [_Place(number) for number in range(1, self.plan.processes + 1)]
        alive_fd, held_fd = os.pipe()
        try:
            with _wakeups(self._signals) as woken:
                while self._stop_by is None or any(place.child for place in self._places):
                    self._turn(woken, alive_fd)
        finally:
            self._kill_all()
            os.close(alive_fd)
            os.close(held_fd)
        return self._code

    def _turn(self, woken: int, alive_fd: int) -> None:
        """Look at everything once, then wait until there is something to look at."""
        self._pass_signals_on()
        for place in self._places:
            self._hear(place)
            self._bury(place)
        if self._stop_by is None:
            for place in self._places:
                if place.child is None and time.monotonic() >= place.start_at:
                    self._start(place, alive_fd)
        elif time.monotonic() >= self._stop_by:
            self._kill_all()
        if self._stop_by is None or any(place.child for place in self._places):
            self._wait(woken)

    def _wait(self, woken: int) -> None:
        moments = [place.start_at for place in self._places if place.child is None] if self._stop_by is None else []
        if self._stop_by is not None:
            moments.append(self._stop_by)
        timeout = max(0.0, min(moments) - time.monotonic()) if moments else None
        with selectors.DefaultSelector() as selector:
            for fd in (woken, *(place.report_fd for place in self._places if place.report_fd >= 0)):
                selector.register(fd, selectors.EVENT_READ)
            selector.select(timeout)
        with suppress(BlockingIOError):
            os.read(woken, 4096)

    def _start(self, place: _Place, alive_fd: int) -> None:
        place.report_fd, report_to = os.pipe()
        os.set_blocking(place.report_fd, False)
        place.report, place.began = b"", time.monotonic()
        try:
            # A session of its own: Ctrl-C in a terminal is for the parent alone, which passes it on.
            place.child = subprocess.Popen(
                [*self.plan.command, *self.plan.link(alive_fd, report_to)],
                stdin=subprocess.DEVNULL,
                pass_fds=(alive_fd, report_to),
                start_new_session=True,
            )
        finally:
            os.close(report_to)
        log.info("worker process %d of %d is %d", place.number, self.plan.processes, place.child.pid)

    def _hear(self, place: _Place) -> None:
        """Take in what the child reports."""
        while place.report_fd >= 0:
            try:
                part = os.read(place.report_fd, _LONGEST_MESSAGE)
            except BlockingIOError:
                break
            if not part:
                self._hang_up(place)
            place.report += part
        if place.report == READY:
            self._one_has_started = True

    def _hang_up(self, place: _Place) -> None:
        if place.report_fd >= 0:
            os.close(place.report_fd)
            place.report_fd = -1

    def _bury(self, place: _Place) -> None:
        """Look whether the child has ended, and what to do then."""
        child = place.child
        if child is None or child.poll() is None:
            return
        self._hear(place)
        self._hang_up(place)
        place.child = None
        code = child.returncode
        if self._stop_by is not None:
            # One that was still starting had nothing to drain, and may not have listened yet; one that a second signal
            # met on its way out had drained, and listened no more.
            if code not in (0, *(-number for number in _STOPS)) and place.report == READY:
                log.error("worker process %d ended with %s while it stopped", child.pid, _told(code))
                self._code = self._code or 1
            return
        if place.report != READY and self._is_final(code):
            self._give_up(code, place.report)
            return
        lived_s = time.monotonic() - place.began
        if lived_s >= _EARLY_S:
            place.wait_s = _FIRST_WAIT_S
        if place.report not in (b"", READY):
            log.error("%s", place.report.decode("utf-8", "replace"))
        log.error(
            "worker process %d died with %s after %.1f s; another starts in %.1f s",
            child.pid,
            _told(code),
            lived_s,
            place.wait_s,
        )
        place.start_at = time.monotonic() + place.wait_s
        place.wait_s = min(place.wait_s * 2, _LONGEST_WAIT_S)

    def _is_final(self, code: int) -> bool:
        return code in self.plan.start_errors or (code in self.plan.first_errors and not self._one_has_started)

    def _give_up(self, code: int, reason: bytes) -> None:
        os.write(2, reason + b"\n" if reason else b"")
        self._code = code
        self._stop(signal.SIGTERM)

    def _pass_signals_on(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number in _STOPS:
                again = " again: at once" if self._stop_by is not None else ""
                log.info("%s%s; stopping %d worker processes", signal.Signals(number).name, again, len(self._places))
                self._stop(number)

    def _stop(self, number: int) -> None:
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self.plan.drain_ms / 1000 + _GRACE_S
        for place in self._places:
            if place.child is not None and place.child.poll() is None:
                place.child.send_signal(number)

    def _kill_all(self) -> None:
        for place in self._places:
            if place.child is None:
                continue
            if place.child.poll() is None:
                log.error("worker process %d did not stop in time and is killed", place.child.pid)
                place.child.kill()
                self._code = self._code or 1
            place.child.wait()
            self._hang_up(place)
            place.child = None


def _told(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@contextmanager
def _wakeups(into: list[int]) -> Generator[int, None, None]:
    """Collect signals; the descriptor can be read when there are some, or when a child has ended."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)

    def note(number: int, _frame: FrameType | None) -> None:
        into.append(number)

    before = {number: signal.signal(number, note) for number in (*_STOPS, signal.SIGCHLD)}
    previous = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    try:
        yield read_fd
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_fd)
        os.close(write_fd)


def tell_parent(report_fd: int, message: bytes) -> None:
    """Report to the parent, once: ``READY``, or why this child cannot start."""
    with suppress(OSError):
        os.write(report_fd, message[:_LONGEST_MESSAGE])
    os.close(report_fd)


def watch_parent(alive_fd: int, when_gone: Callable[[], object]) -> None:
    """Call from a thread, once, when the parent has gone."""

    def wait() -> None:
        if not os.read(alive_fd, 1):
            log.warning("the parent process has gone")
            when_gone()

    threading.Thread(target=wait, name="broker-wf-parent", daemon=True).start()
