"""How a scenario gets the workflows it plays: the one thing it does not take from the engine."""

from __future__ import annotations

from typing import Any, Protocol


class Play(Protocol):
    """Puts a workflow on the engine that is tried."""

    async def __call__(self, cls: Any, **arguments: Any) -> Any:
        """An instance of the workflow class, ready to run."""
        ...


async def streamed(handler: Any, kind: type | None = None, **options: Any) -> list[Any]:
    """All events of a run, or those of one class."""
    return [ev async for ev in handler.stream_events(**options) if kind is None or type(ev) is kind]
