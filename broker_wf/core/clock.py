"""Time, as an argument: whoever needs it is given a Clock."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits. Decisions about leases use the server's time instead."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC; may jump."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds since some moment; never goes back."""
        ...

    async def sleep_ms(self, duration_ms: int) -> None:
        """Wait; 0 or less lets others run once."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        """See ``Clock``."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """See ``Clock``."""
        return time.monotonic_ns() // 1_000_000

    async def sleep_ms(self, duration_ms: int) -> None:
        """See ``Clock``."""
        await asyncio.sleep(max(0, duration_ms) / 1000)
