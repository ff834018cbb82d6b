"""When to give up."""

from __future__ import annotations

from typing import Protocol

from broker_wf.retry_policy.durations import seconds, time_unit_type


class StopCondition(Protocol):
    """Whether to give up; ``attempts`` counts failures, times are seconds."""

    def __call__(  # noqa: D102
        self, attempts: int, elapsed_time: float, *, upcoming_sleep: float = 0.0
    ) -> bool: ...


class _Stop:
    def __call__(self, attempts: int, elapsed_time: float, *, upcoming_sleep: float = 0.0) -> bool:
        raise NotImplementedError

    def __and__(self, other: StopCondition) -> stop_all:
        return stop_all(self, other)

    def __rand__(self, other: StopCondition) -> stop_all:
        return stop_all(other, self)

    def __or__(self, other: StopCondition) -> stop_any:
        return stop_any(self, other)

    def __ror__(self, other: StopCondition) -> stop_any:
        return stop_any(other, self)


class stop_after_attempt(_Stop):
    """Give up after so many attempts in all."""

    def __init__(self, max_attempt_number: int) -> None:
        self.max_attempt_number = max_attempt_number

    def __call__(self, attempts: int, elapsed_time: float, *, upcoming_sleep: float = 0.0) -> bool:
        """Count."""
        return attempts >= self.max_attempt_number


class stop_after_delay(_Stop):
    """Give up once the time since the first attempt has come to ``max_delay``."""

    def __init__(self, max_delay: time_unit_type) -> None:
        self.max_delay = seconds(max_delay)

    def __call__(self, attempts: int, elapsed_time: float, *, upcoming_sleep: float = 0.0) -> bool:
        """Compare."""
        return elapsed_time >= self.max_delay


class stop_before_delay(_Stop):
    """Give up if the next attempt would begin ``max_delay`` or more after the first."""

    def __init__(self, max_delay: time_unit_type) -> None:
        self.max_delay = seconds(max_delay)

    def __call__(self, attempts: int, elapsed_time: float, *, upcoming_sleep: float = 0.0) -> bool:
        """Compare."""
        return elapsed_time + upcoming_sleep >= self.max_delay


class stop_any(_Stop):
    """Give up if any of the stops says so."""

    def __init__(self, *stops: StopCondition) -> None:
        self.stops = stops

    def __call__(self, attempts: int, elapsed_time: float, *, upcoming_sleep: float = 0.0) -> bool:
        """Ask until one says yes."""
        return any(stop(attempts, elapsed_time, upcoming_sleep=upcoming_sleep) for stop in self.stops)


class stop_all(_Stop):
    """Give up if all stops say so."""

    def __init__(self, *stops: StopCondition) -> None:
        self.stops = stops

    def __call__(self, attempts: int, elapsed_time: float, *, upcoming_sleep: float = 0.0) -> bool:
        """Ask until one says no."""
        return all(stop(attempts, elapsed_time, upcoming_sleep=upcoming_sleep) for stop in self.stops)


class stop_never(_Stop):
    """Never give up."""

    def __call__(self, attempts: int, elapsed_time: float, *, upcoming_sleep: float = 0.0) -> bool:
        """Do not stop."""
        return False
