"""The test kit kills only what it has forked: the pid of a worker is nobody else's, however long the worker is dead."""

from __future__ import annotations

import os
import signal

import pytest

from tests.faults.records import Records


def test_the_pid_of_a_dead_worker_is_kept(records: Records) -> None:
    child = records.fork()
    assert child.poll() is None
    child.kill()
    assert child.wait() == -signal.SIGKILL
    os.kill(child.pid, 0)  # It is there still: a process that the kernel made now would get another one.
    child.send_signal(signal.SIGSTOP)
    child.terminate()
    assert child.poll() == -signal.SIGKILL


def test_a_worker_that_was_let_go_is_sent_nothing(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    child = records.fork()
    child.let_go()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    sent: list[tuple[int, int]] = []
    with monkeypatch.context() as patch:
        for how in ("kill", "killpg"):
            patch.setattr(os, how, lambda *given: sent.append(given))
        child.kill()
        child.terminate()
        child.send_signal(signal.SIGCONT)
        child.let_go()
    assert sent == []
    assert child.poll() == child.wait() == -signal.SIGKILL


def test_a_worker_may_be_let_go_as_soon_as_it_was_forked(records: Records) -> None:
    """Before it has a group of its own."""
    for _ in range(20):
        child = records.fork(wait=False)
        child.let_go()
        assert child.poll() == -signal.SIGKILL


def test_how_a_worker_ended_is_known(records: Records) -> None:
    child = records.fork()
    child.terminate()
    assert child.wait() == 0
