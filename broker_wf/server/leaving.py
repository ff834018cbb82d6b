"""Hear of the stop of a server that is not ours: of an app mounted in another one nobody tells the app."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from starlette.types import ASGIApp, Receive, Scope, Send

from broker_wf.server.service import Service

_STOPS = (signal.SIGTERM, signal.SIGINT)


class Leaving:
    """Lets streams go when a signal asks the process to stop.

    A server waits for its connections before it tells anybody of its end, so whoever streams would hold it up. Where
    the event loop is not in the main thread, signals are not for this to hear: set ``app.state.service.draining``.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._listens = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Listen from the first request on."""
        if not self._listens and scope["type"] == "http":
            self._listens = True
            self._listen(asyncio.get_running_loop())
        await self._app(scope, receive, send)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in _STOPS:
            before = signal.getsignal(number)
            # Without a handler the signal ends the process, and so it shall go on.
            if callable(before) and before is not signal.default_int_handler:
                with suppress(ValueError):
                    signal.signal(number, _first(loop, self._service, before))


def _first(
    loop: asyncio.AbstractEventLoop, service: Service, then: Callable[[int, FrameType | None], object]
) -> Callable[[int, FrameType | None], object]:
    def stop(number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(service.draining.set)
        then(number, frame)

    return stop
