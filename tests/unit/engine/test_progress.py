from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from broker_wf.engine.progress import Progress
from broker_wf.events import ProgressEvent


class Bench:
    """A progress whose clock stands still until it is set."""

    def __init__(self, next_ms: int) -> None:
        self.now = 0
        self.published: list[int] = []
        clock = SimpleNamespace(monotonic_ms=lambda: self.now)
        self.effects: Any = SimpleNamespace(
            held=False, loop=asyncio.get_running_loop(), site=SimpleNamespace(clock=clock), put=self._put
        )
        self.progress = Progress(self.effects, _next_ms=next_ms)

    def tell(self, done: int) -> None:
        self.progress.tell(ProgressEvent(step="s", done=done, total=9, text=""))

    def _put(self, written: Any) -> None:
        self.published.append(cast(int, written.event.done))


@pytest.fixture
async def bench() -> Bench:
    return Bench(next_ms=20)


async def test_a_word_told_just_before_the_end_sets_no_timer_after_it(bench: Bench) -> None:
    bench.tell(1)
    bench.progress.stop()
    await asyncio.sleep(0.1)
    assert bench.published == []
    bench.progress.flush()
    assert bench.published == [1]


async def test_a_word_is_kept_back_where_effects_are_held_meanwhile(bench: Bench) -> None:
    bench.tell(1)
    bench.effects.held = True
    await asyncio.sleep(0.1)
    assert bench.published == []
    bench.progress.flush()
    assert bench.published == [1]


async def test_a_timer_whose_word_went_out_already_publishes_no_other_before_its_time(bench: Bench) -> None:
    bench.tell(1)
    await asyncio.sleep(0)
    bench.now = 20
    bench.tell(2)
    bench.tell(3)
    await asyncio.sleep(0.06)
    assert bench.published == [2], "the next is due at 120"
    bench.now = 120
    await asyncio.sleep(0.2)
    assert bench.published == [2, 3]


async def test_nothing_is_published_twice_when_its_timer_goes_off_late(bench: Bench) -> None:
    bench.tell(1)
    await asyncio.sleep(0)
    bench.now = 20
    bench.tell(2)
    await asyncio.sleep(0.06)
    assert bench.published == [2]
