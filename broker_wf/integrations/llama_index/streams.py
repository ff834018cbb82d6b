"""The feed of a run in their events."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from workflows.events import Event

from broker_wf import events as ours
from broker_wf.integrations.llama_index.errors import their_errors
from broker_wf.integrations.llama_index.events import to_theirs


class TheirEvents:
    """Events of a run as theirs, in order. Whoever drops it has left the stream, as with a generator."""

    def __init__(self, events: AsyncGenerator[ours.Event, None]) -> None:
        self._events = events

    def __aiter__(self) -> TheirEvents:
        return self

    async def __anext__(self) -> Event:
        with their_errors():
            return to_theirs(await self._events.__anext__())

    async def aclose(self) -> None:
        """Leave the stream."""
        await self._events.aclose()
