"""How far an execution has come: told as often as the step likes, published now and then."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

from broker_wf.core.outcome import Written
from broker_wf.engine.effects import Effects
from broker_wf.events import ProgressEvent

_APART_MS = 100


@dataclass(slots=True)
class Progress:
    """Publishes the latest word at most ten times a second, and the last one in any case."""

    effects: Effects
    _latest: ProgressEvent | None = None
    _next_ms: int = 0
    _timer: asyncio.TimerHandle | None = None
    _ended: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, event: ProgressEvent) -> None:
        """Publish it now if it is time, else a little later unless something newer comes; from any thread."""
        with self._guard:
            was_waiting, self._latest = self._latest is not None, event
            if self.effects.held or self._ended:
                return
            wait_ms = self._wait_ms()
            if wait_ms <= 0:
                self._publish()
            elif not was_waiting:
                self.effects.loop.call_soon_threadsafe(self._wait, wait_ms)

    def stop(self) -> None:
        """Publish nothing by itself any more."""
        with self._guard:
            self._ended = True
            if self._timer is not None:
                self._timer.cancel()

    def flush(self) -> None:
        """Publish what was told last, if it has not been."""
        with self._guard:
            self._publish()

    def _wait_ms(self) -> int:
        return self._next_ms - self.effects.site.clock.monotonic_ms()

    def _wait(self, wait_ms: int) -> None:
        with self._guard:
            if not self._ended and self._timer is None:
                self._timer = self.effects.loop.call_later(wait_ms / 1000, self._due)

    def _due(self) -> None:
        """The timer has gone off, for what it was set for or, if that was published meanwhile, for what came later."""
        with self._guard:
            self._timer = None
            if self._ended or self.effects.held or self._latest is None:
                return
            wait_ms = self._wait_ms()
            if wait_ms <= 0:
                self._publish()
            else:
                self._timer = self.effects.loop.call_later(wait_ms / 1000, self._due)

    def _publish(self) -> None:
        if self._latest is not None:
            latest, self._latest = self._latest, None
            self._next_ms = self.effects.site.clock.monotonic_ms() + _APART_MS
            self.effects.put(Written(event=latest))
