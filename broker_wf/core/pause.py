"""How a step leaves that waits for an event."""

from __future__ import annotations

import builtins


class WaitingForEvent(BaseException):
    """Leaves a step at ``wait_for_event``; the step starts again, from the top, when there is an answer.

    Not for users to catch. It is no ``Exception``, so that ``except Exception`` around a wait lets it pass.
    """

    def __init__(self, event_name: str) -> None:
        super().__init__(f"Waiting for event {event_name}")


def is_pause(error: BaseException) -> bool:
    """Whether this is a pause, or a group of nothing else: that is how a ``TaskGroup`` hands it on."""
    if isinstance(error, WaitingForEvent):
        return True
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return isinstance(error, _GROUPS) and all(is_pause(one) for one in inner)


_GROUPS = tuple(cls for cls in vars(builtins).values() if getattr(cls, "__name__", "") == "BaseExceptionGroup")
"""``BaseExceptionGroup``, where Python has it."""
