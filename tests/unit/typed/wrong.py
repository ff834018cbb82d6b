"""What a type checker must refuse. Read by pyright; the function never runs."""

from __future__ import annotations

from broker_wf.events import StartEvent
from tests.unit.typed.samples import Typed


async def wrong() -> int:
    Typed().run(start_event=StartEvent())  # pyright: ignore[reportArgumentType]
    answer = await Typed().run(question="?")
    return answer.text  # pyright: ignore[reportReturnType]
