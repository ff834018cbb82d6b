from __future__ import annotations

import logging

import pytest

from broker_wf.worker.lasting import lasting


class Counted:
    """A clock that does not wait, and counts."""

    def __init__(self) -> None:
        self.slept: list[int] = []

    def now_ms(self) -> int:
        return 0

    def monotonic_ms(self) -> int:
        return 0

    async def sleep_ms(self, duration_ms: int) -> None:
        self.slept.append(duration_ms)


async def test_a_job_that_breaks_is_begun_anew_and_tells_why(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[int] = []

    async def job() -> None:
        begun.append(1)
        if len(begun) < 3:
            raise TypeError("unhashable")

    clock = Counted()
    with caplog.at_level(logging.ERROR):
        await lasting("mailbox", job, clock)
    assert (len(begun), clock.slept) == (3, [1000, 1000])
    assert [one.getMessage() for one in caplog.records] == ["the worker's mailbox broke; it begins anew"] * 2
    assert "unhashable" in caplog.text
