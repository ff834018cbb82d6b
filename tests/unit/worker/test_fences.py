"""No two leases have the same fence, in whichever process they are made."""

from __future__ import annotations

import os
import re

from broker_wf.worker.claimer import new_fence


def fences_of_a_fork(count: int) -> list[str]:
    """What a process makes that has everything from this one."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, " ".join(new_fence() for _ in range(count)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        fences = told.read().split()
    os.waitpid(pid, 0)
    return fences


def test_a_fence_is_sixteen_hexadecimal_digits_and_another_one_each_time() -> None:
    fences = [new_fence() for _ in range(10_000)]
    assert len(set(fences)) == len(fences)
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in fences)


def test_processes_of_one_fork_server_make_other_fences() -> None:
    fences = [*fences_of_a_fork(100), *fences_of_a_fork(100), *(new_fence() for _ in range(100))]
    assert len(set(fences)) == 300
