"""The decision on a failed attempt: again, and when, or no more."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from broker_wf.retry_policy.conditions import RetryCondition
from broker_wf.retry_policy.durations import seconds as to_seconds
from broker_wf.retry_policy.durations import time_unit_type
from broker_wf.retry_policy.stops import StopCondition, stop_after_attempt
from broker_wf.retry_policy.waits import WaitStrategy, wait_exponential, wait_fixed, wait_random_exponential


@dataclass(frozen=True)
class RetryInfo:
    """What an execution may know of the failures before it.

    Attributes:
        retry_number: 0 on the first execution.
        elapsed_seconds: since the first execution began; 0.0 on the first.
        last_exception: of the failure before this one; None on the first execution.
        last_failed_at: when that was, with time zone UTC; None on the first execution.
    """

    retry_number: int
    elapsed_seconds: float
    last_exception: Exception | None
    last_failed_at: datetime | None


class RetryIn(Exception):
    """Raised by a step that knows when it should be tried again, from a Retry-After header for example.

    Takes the place of the policy's wait and of its condition; the policy's stop still holds, and without
    a policy that of ``retry_policy()``.

    Attributes:
        seconds: until the next attempt, 0 or more.
    """

    def __init__(self, seconds: time_unit_type, reason: str = "") -> None:
        self.seconds = max(0.0, to_seconds(seconds))
        self.reason = reason
        super().__init__(reason or f"to be tried again in {self.seconds:g} seconds")


@runtime_checkable
class RetryPolicy(Protocol):
    """Decides on a failed attempt. Any object with such a ``next`` will do; ``seed`` may be left out."""

    def next(self, elapsed_time: float, attempts: int, error: Exception, *, seed: int | None = None) -> float | None:
        """Decide whether and when to try again.

        Args:
            elapsed_time: seconds since the first attempt began.
            attempts: failures so far, 1 on the first call.
            error: of the last attempt.
            seed: for jitter; the same failure always has the same.

        Returns:
            Seconds to wait, or None to give up.
        """
        ...


def retry_delay(
    policy: RetryPolicy | None, elapsed_time: float, attempts: int, error: Exception, seed_text: str
) -> float | None:
    """Ask the policy of a step whether and when a failed attempt is followed by another.

    Args:
        policy: None: no retry, but for ``RetryIn`` the stop of ``retry_policy()`` holds.
        elapsed_time: seconds since the first attempt began.
        attempts: failures so far, this one included.
        error: what the step raised.
        seed_text: what jitter is drawn from, ``run:step:failures``; the same text gives the same delay.

    Returns:
        Seconds to wait, never negative; None if the step has failed for good.

    Raises:
        Exception: whatever a user's policy raises.
    """
    if policy is None:
        if not isinstance(error, RetryIn):
            return None
        policy = retry_policy()
    if _takes_seed(policy):
        seed = int.from_bytes(hashlib.sha256(seed_text.encode()).digest()[-4:], "big")
        delay = policy.next(elapsed_time, attempts, error, seed=seed)
    else:
        delay = policy.next(elapsed_time, attempts, error)
    if delay is None:
        return None
    return error.seconds if isinstance(error, RetryIn) else max(0.0, delay)


def _takes_seed(policy: RetryPolicy) -> bool:
    parameters = inspect.signature(policy.next).parameters.values()
    return any(p.name == "seed" or p.kind is p.VAR_KEYWORD for p in parameters)


class _Composed:
    """A condition, a wait and a stop."""

    def __init__(self, retry: RetryCondition | None, wait: WaitStrategy, stop: StopCondition) -> None:
        self.retry = retry
        self.wait = wait
        self.stop = stop

    def next(self, elapsed_time: float, attempts: int, error: Exception, *, seed: int | None = None) -> float | None:
        if isinstance(error, RetryIn):
            delay = error.seconds
        elif self.retry is not None and not self.retry(error):
            return None
        else:
            delay = self.wait(max(attempts - 1, 0), seed=seed)
        return None if self.stop(attempts, elapsed_time, upcoming_sleep=delay) else delay

    def __repr__(self) -> str:
        parts = ", ".join(f"{k}={type(v).__name__}" for k, v in vars(self).items() if v is not None)
        return f"retry_policy({parts})"


def retry_policy(
    retry: RetryCondition | None = None,
    wait: WaitStrategy = wait_fixed(5),  # noqa: B008 - immutable, and part of the signature
    stop: StopCondition = stop_after_attempt(3),  # noqa: B008
) -> RetryPolicy:
    """Make a policy from a condition, a wait and a stop.

    Args:
        retry: which exceptions are worth another attempt; None: all.
        wait: seconds before it.
        stop: when to give up; ``stop_after_attempt(3)`` means three executions in all.
    """
    return _Composed(retry, wait, stop)


def ConstantDelayRetryPolicy(maximum_attempts: int = 3, delay: float = 5) -> RetryPolicy:
    """Make a policy with a fixed wait. Deprecated: use ``retry_policy``."""
    _warn_deprecated("ConstantDelayRetryPolicy", "wait=wait_fixed(delay)")
    return retry_policy(wait=wait_fixed(delay), stop=stop_after_attempt(maximum_attempts))


def ExponentialBackoffRetryPolicy(
    maximum_attempts: int = 5,
    initial_delay: float = 1,
    multiplier: float = 2,
    max_delay: float = 60,
    jitter: bool = True,
) -> RetryPolicy:
    """Make a policy with a growing wait. Deprecated: use ``retry_policy``."""
    _warn_deprecated("ExponentialBackoffRetryPolicy", "wait=wait_exponential(...)")
    strategy = wait_random_exponential if jitter else wait_exponential
    return retry_policy(
        wait=strategy(multiplier=initial_delay, exp_base=multiplier, max=max_delay),
        stop=stop_after_attempt(maximum_attempts),
    )


def _warn_deprecated(name: str, wait: str) -> None:
    warnings.warn(
        f"{name} is deprecated, use retry_policy({wait}, stop=stop_after_attempt(n)) instead",
        DeprecationWarning,
        stacklevel=3,
    )
