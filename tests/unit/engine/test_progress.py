from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from broker_wf.engine.progress import Progress
from broker_wf.events import ProgressEvent


async def test_a_word_told_just_before_the_end_sets_no_timer_after_it() -> None:
    published: list[object] = []
    clock = SimpleNamespace(monotonic_ms=lambda: 0)
    effects: Any = SimpleNamespace(
        held=False, loop=asyncio.get_running_loop(), site=SimpleNamespace(clock=clock), put=published.append
    )
    progress = Progress(effects, _next_ms=50)
    progress.tell(ProgressEvent(step="s", done=1, total=2, text=""))
    progress.stop()
    await asyncio.sleep(0.1)
    assert published == []
    progress.flush()
    assert len(published) == 1


async def test_a_word_is_kept_back_where_effects_are_held_meanwhile() -> None:
    published: list[object] = []
    clock = SimpleNamespace(monotonic_ms=lambda: 0)
    effects: Any = SimpleNamespace(
        held=False, loop=asyncio.get_running_loop(), site=SimpleNamespace(clock=clock), put=published.append
    )
    progress = Progress(effects, _next_ms=10)
    progress.tell(ProgressEvent(step="s", done=1, total=2, text=""))
    effects.held = True
    await asyncio.sleep(0.1)
    assert published == []
    progress.flush()
    assert len(published) == 1
