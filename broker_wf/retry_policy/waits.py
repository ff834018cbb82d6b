"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from typing import Protocol, cast

from broker_wf.retry_policy.durations import seconds, time_unit_type


class WaitStrategy(Protocol):
    """Seconds before the next attempt; ``attempts`` is 0 before the first retry."""

    def __call__(self, attempts: int, *, seed: int | None = None) -> float: ...  # noqa: D102


class _Wait:
    def __call__(self, attempts: int, *, seed: int | None = None) -> float:
        raise NotImplementedError

    def __add__(self, other: WaitStrategy) -> wait_combine:
        return wait_combine(self, other)

    def __radd__(self, other: object) -> _Wait:
        if other == 0:  # where sum() begins
            return self
        if callable(other):
            return wait_combine(cast("WaitStrategy", other), self)
        return NotImplemented


class wait_fixed(_Wait):
    """Wait the same time before each attempt."""

    def __init__(self, wait: time_unit_type) -> None:
        self.wait = seconds(wait)

    def __call__(self, attempts: int, *, seed: int | None = None) -> float:
        """Give the time."""
        return self.wait


class wait_none(wait_fixed):
    """Do not wait."""

    def __init__(self) -> None:
        super().__init__(0)


class wait_exponential(_Wait):
    """Wait ``multiplier * exp_base ** n`` seconds before retry n = 0, 1, …, but from ``min`` to ``max``."""

    def __init__(
        self,
        multiplier: int | float = 1,
        exp_base: int | float = 2,
        max: time_unit_type = 60.0,
        min: time_unit_type = 0,
    ) -> None:
        self.multiplier = multiplier
        self.exp_base = exp_base
        self.max = seconds(max)
        self.min = seconds(min)

    def __call__(self, attempts: int, *, seed: int | None = None) -> float:
        """Compute the time."""
        wanted = _power(self.multiplier, self.exp_base, attempts)
        return max(0.0, self.min, min(wanted, self.max))


def _power(multiplier: float, exp_base: float, attempts: int) -> float:
    """Multiply and raise; infinite where a float cannot hold it."""
    try:
        return multiplier * float(exp_base) ** attempts
    except OverflowError:
        return float("inf")


class wait_incrementing(_Wait):
    """Wait ``start`` seconds before the first retry, ``increment`` more before each next, up to ``max``."""

    def __init__(
        self, start: time_unit_type = 0, increment: time_unit_type = 100, max: time_unit_type = float("inf")
    ) -> None:
        self.start = seconds(start)
        self.increment = seconds(increment)
        self.max = seconds(max)

    def __call__(self, attempts: int, *, seed: int | None = None) -> float:
        """Compute the time."""
        return max(0.0, min(self.start + self.increment * attempts, self.max))


class wait_random(_Wait):
    """Wait a random time from ``min`` to ``max``."""

    def __init__(self, min: time_unit_type = 0, max: time_unit_type = 1) -> None:
        self.min = seconds(min)
        self.max = seconds(max)

    def __call__(self, attempts: int, *, seed: int | None = None) -> float:
        """Draw the time; the same for the same seed."""
        return random.Random(seed).uniform(self.min, self.max)


class wait_exponential_jitter(_Wait):
    """Wait ``initial * exp_base ** n`` seconds and up to ``jitter`` more, but never above ``max``."""

    def __init__(self, initial: float = 1, exp_base: float = 2, max: float = 60.0, jitter: float = 1) -> None:
        self.initial = initial
        self.exp_base = exp_base
        self.max = max
        self.jitter = jitter

    def __call__(self, attempts: int, *, seed: int | None = None) -> float:
        """Draw the time; the same for the same seed."""
        wanted = _power(self.initial, self.exp_base, attempts)
        return min(wanted + random.Random(seed).uniform(0, self.jitter), self.max)


class wait_random_exponential(wait_exponential):
    """Wait a random time from ``min`` to what ``wait_exponential`` would wait."""

    def __call__(self, attempts: int, *, seed: int | None = None) -> float:
        """Draw the time; the same for the same seed."""
        return random.Random(seed).uniform(self.min, super().__call__(attempts))


def wait_full_jitter(
    multiplier: int | float = 1,
    exp_base: int | float = 2,
    max: time_unit_type = 60.0,
    min: time_unit_type = 0,
) -> wait_random_exponential:
    """Make a ``wait_random_exponential``."""
    return wait_random_exponential(multiplier=multiplier, exp_base=exp_base, max=max, min=min)


class wait_chain(_Wait):
    """Use each strategy once, in order, and the last for ever."""

    def __init__(self, *strategies: WaitStrategy) -> None:
        """Take one or more.

        Raises:
            ValueError: none is given.
        """
        if not strategies:
            raise ValueError("wait_chain requires at least one strategy")
        self.strategies = strategies

    def __call__(self, attempts: int, *, seed: int | None = None) -> float:
        """Ask the strategy whose turn it is."""
        return self.strategies[min(attempts, len(self.strategies) - 1)](attempts, seed=seed)


class wait_combine(_Wait):
    """Wait as long as all strategies together."""

    def __init__(self, *strategies: WaitStrategy) -> None:
        self.strategies = strategies

    def __call__(self, attempts: int, *, seed: int | None = None) -> float:
        """Add them up."""
        return sum(strategy(attempts, seed=seed) for strategy in self.strategies)
