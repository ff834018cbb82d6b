from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from broker_wf.broker.packing import unpack
from broker_wf.worker.renewer import Book, Held, Patience, Renewer, end_worker, executes, is_alive

FIRST, SECOND = ("run", "1@step", "nonce"), ("run", "2@step", "nonce")
PLACE = ("lane", "step", "1")


class Renewals:
    def __init__(self, *lost: int) -> None:
        self.lost, self.renewed, self.held = list(lost), [], []

    def renew(self, leases: Any, lease_ms: int) -> list[int]:
        self.renewed += leases
        return self.lost

    def hold_places(self, holders: Any, lease_ms: int) -> None:
        self.held += holders


@pytest.fixture
def book() -> Book:
    return Book(60_000)


def renewed(book: Book, *lost: int) -> tuple[Renewals, list[Any]]:
    """One round of renewals, and what was said of it."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    renewals: Any = Renewals(*lost)
    try:
        Renewer(book=book, renewal=renewals, lease_ms=1500, parent=os.getppid(), report_fd=write_fd).renew()
        try:
            return renewals, [unpack(os.read(read_fd, 65_536))]
        except BlockingIOError:
            return renewals, []
    finally:
        os.close(read_fd)
        os.close(write_fd)


def test_what_has_begun_is_renewed_until_it_is_over(book: Book) -> None:
    book.take([[[FIRST, None, None], [SECOND, None, None]], [], []])
    assert renewed(book)[0].renewed == [FIRST, SECOND]
    book.take([[], [FIRST], []])
    assert renewed(book)[0].renewed == [SECOND]


def test_of_what_was_stopped_only_the_place_is_kept(book: Book) -> None:
    book.take([[[FIRST, None, PLACE], [SECOND, None, None]], [], [FIRST, SECOND, ("run", "gone", "nonce")]])
    renewals, _ = renewed(book)
    assert (renewals.renewed, renewals.held) == ([], [(PLACE, FIRST)])


def test_a_lost_lease_is_told_once(book: Book) -> None:
    book.take([[[FIRST, None, None]], [], []])
    (said,) = renewed(book, 0)[1]
    assert said == [[[part.encode() for part in FIRST]], b""]
    renewals, said = renewed(book)
    assert (renewals.renewed, said) == ([], [])


@pytest.mark.parametrize(
    ("timeout_ms", "stood_ms", "is_given_up"),
    [(None, 59_000, False), (None, 61_000, True), (1_000, 5_500, False), (1_000, 6_500, True), (90_000, 61_000, True)],
)
def test_how_long_a_lease_outlives_a_standing_event_loop(timeout_ms: int, stood_ms: int, is_given_up: bool) -> None:
    assert Held(FIRST, timeout_ms, None).is_given_up(stood_ms, 60_000) is is_given_up


def test_that_the_event_loop_stands_is_said(book: Book) -> None:
    book.take([[[FIRST, None, None]], [], []])
    book.heard = time.monotonic() - 70
    renewals, (said,) = renewed(book)
    assert renewals.renewed == []
    assert said == [[], b"the event loop has stood still: 1 leases are renewed no longer"]
    book.take([[], [], []])
    assert renewed(book)[0].renewed == [FIRST]


def test_a_process_that_runs_executes_and_is_somebodys_child() -> None:
    assert executes(os.getpid())
    assert is_alive(os.getppid())
    assert not is_alive(os.getpid())


def test_a_worker_is_waited_for_from_the_moment_it_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    patience = Patience(10.0)
    now = 150.0
    assert not patience.is_over(hangs=False)
    now = 159.0
    assert not patience.is_over(hangs=True)
    now = 161.0
    assert patience.is_over(hangs=True)
    assert not patience.is_over(hangs=False)
    assert not patience.is_over(hangs=True)


def test_a_worker_that_hangs_is_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        end_worker(process.pid, 70.0, is_there=lambda _: True)
        assert process.wait() in (-signal.SIGQUIT, -signal.SIGKILL)
    end_worker(process.pid, 70.0, is_there=lambda _: True)


def test_a_process_that_has_the_pid_of_a_worker_that_is_gone_is_left_alone() -> None:
    # Whoever is started in the background of a shell ignores this signal, and so do its children.
    program = (
        "import signal, time; signal.signal(signal.SIGQUIT, signal.SIG_DFL); print(1, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        end_worker(process.pid, 70.0)
        assert process.poll() is None
        answers = [True, False]
        end_worker(process.pid, 70.0, is_there=lambda _: answers.pop(0))
        assert process.wait() == -signal.SIGQUIT


def test_the_first_process_is_left_to_itself() -> None:
    end_worker(1, 70.0)
