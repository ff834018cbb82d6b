from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, cast

import pytest

from broker_wf.retry_policy import (
    ConstantDelayRetryPolicy,
    ExponentialBackoffRetryPolicy,
    RetryCondition,
    RetryIn,
    RetryPolicy,
    StopCondition,
    WaitStrategy,
    retry_all,
    retry_always,
    retry_any,
    retry_delay,
    retry_if_exception,
    retry_if_exception_cause_type,
    retry_if_exception_message,
    retry_if_exception_type,
    retry_if_not_exception_message,
    retry_if_not_exception_type,
    retry_never,
    retry_policy,
    retry_unless_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_all,
    stop_any,
    stop_before_delay,
    stop_never,
    wait_chain,
    wait_combine,
    wait_exponential,
    wait_exponential_jitter,
    wait_fixed,
    wait_full_jitter,
    wait_incrementing,
    wait_none,
    wait_random,
    wait_random_exponential,
)

ERROR = ValueError("HTTP 503: busy")


def caused(cause: BaseException) -> Exception:
    error = RuntimeError("outer")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (retry_if_exception(lambda e: "503" in str(e)), True),
        (retry_if_exception_type(), True),
        (retry_if_exception_type((KeyError, ValueError)), True),
        (retry_if_exception_type(KeyError), False),
        (retry_if_not_exception_type(KeyError), True),
        (retry_if_not_exception_type(ValueError), False),
        (retry_unless_exception_type(ValueError), False),
        (retry_if_exception_message(message="HTTP 503: busy"), True),
        (retry_if_exception_message(message="503"), False),
        (retry_if_exception_message(match=r"5\d\d"), True),
        (retry_if_exception_message(match=re.compile("BUSY", re.IGNORECASE)), True),
        (retry_if_not_exception_message(match="busy"), False),
        (retry_if_not_exception_message(message="busy"), True),
        (retry_always(), True),
        (retry_never(), False),
        (retry_any(retry_never(), retry_always()), True),
        (retry_all(retry_never(), retry_always()), False),
        (retry_never() | retry_always(), True),
        (retry_never() & retry_always(), False),
        (cast("Any", lambda _: True) | retry_never(), True),
        (cast("Any", lambda _: True) & retry_never(), False),
    ],
)
def test_a_condition_looks_at_the_exception(condition: RetryCondition, expected: bool) -> None:
    assert condition(ERROR) is expected


def test_a_cause_is_found_however_far_down_it_is() -> None:
    condition = retry_if_exception_cause_type(KeyError)
    assert condition(caused(caused(KeyError())))
    assert not condition(KeyError())
    assert not condition(caused(ValueError()))


@pytest.mark.parametrize("arguments", [{}, {"message": "a", "match": "b"}])
def test_a_message_condition_wants_exactly_one_of_its_arguments(arguments: dict[str, str]) -> None:
    with pytest.raises(TypeError):
        retry_if_exception_message(**arguments)


@pytest.mark.parametrize(
    ("wait", "delays"),
    [
        (wait_fixed(2), [2, 2, 2]),
        (wait_fixed(timedelta(minutes=1)), [60, 60, 60]),
        (wait_none(), [0, 0, 0]),
        (wait_exponential(multiplier=2, exp_base=3, max=10, min=3), [3, 6, 10]),
        (wait_incrementing(start=1, increment=2, max=4), [1, 3, 4]),
        (wait_incrementing(start=1, increment=-2), [1, 0, 0]),
        (wait_chain(wait_fixed(1), wait_fixed(5)), [1, 5, 5]),
        (wait_combine(wait_fixed(1), wait_fixed(2)), [3, 3, 3]),
        (wait_fixed(1) + wait_fixed(2), [3, 3, 3]),
        (sum([wait_fixed(1), wait_fixed(2), wait_fixed(3)]), [6, 6, 6]),
        ((lambda attempts, *, seed=None: attempts) + wait_fixed(1), [1, 2, 3]),
        (wait_exponential_jitter(initial=1, jitter=0, max=3), [1, 2, 3]),
    ],
)
def test_a_wait_counts_retries_from_zero(wait: WaitStrategy, delays: list[float]) -> None:
    assert [wait(n) for n in range(3)] == delays


def test_a_wait_cannot_be_added_to_what_is_no_wait() -> None:
    with pytest.raises(TypeError):
        _ = "1" + wait_fixed(1)  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]


@pytest.mark.parametrize(
    ("wait", "low", "high"),
    [
        (wait_random(min=1, max=2), 1, 2),
        (wait_exponential_jitter(initial=1, jitter=2, max=5), 4, 5),
        (wait_random_exponential(multiplier=8, max=20, min=1), 1, 20),
        (wait_full_jitter(multiplier=8, max=20), 0, 20),
    ],
)
def test_jitter_stays_in_its_range_and_is_the_same_for_the_same_seed(
    wait: WaitStrategy, low: float, high: float
) -> None:
    drawn = [wait(2, seed=seed) for seed in range(50)]
    assert drawn == [wait(2, seed=seed) for seed in range(50)]
    assert len(set(drawn)) > 1
    assert all(low <= delay <= high for delay in [*drawn, wait(2)])


def test_an_exponential_wait_never_overflows() -> None:
    assert wait_exponential(max=60)(5000) == 60
    assert wait_exponential_jitter(max=60)(5000) == 60


def test_a_chain_wants_a_strategy() -> None:
    with pytest.raises(ValueError, match="at least one"):
        wait_chain()


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (stop_after_attempt(3), True),
        (stop_after_attempt(4), False),
        (stop_after_delay(10), True),
        (stop_after_delay(timedelta(seconds=11)), False),
        (stop_before_delay(15), True),
        (stop_before_delay(16), False),
        (stop_never(), False),
        (stop_any(stop_never(), stop_after_attempt(1)), True),
        (stop_all(stop_never(), stop_after_attempt(1)), False),
        (stop_never() | stop_after_attempt(1), True),
        (stop_never() & stop_after_attempt(1), False),
        ((lambda *_, **__: True) | stop_never(), True),
        ((lambda *_, **__: True) & stop_never(), False),
    ],
)
def test_a_stop_counts_failures_and_seconds(stop: StopCondition, expected: bool) -> None:
    assert stop(3, 10.0, upcoming_sleep=5.0) is expected


def test_without_arguments_there_are_three_executions_five_seconds_apart() -> None:
    policy = retry_policy()
    assert [policy.next(0.0, n, ERROR) for n in (1, 2, 3)] == [5.0, 5.0, None]
    assert isinstance(policy, RetryPolicy)
    assert "wait_fixed" in repr(policy)


def test_what_the_condition_refuses_is_not_tried_again() -> None:
    assert retry_policy(retry=retry_if_exception_type(KeyError)).next(0.0, 1, ERROR) is None


def test_the_deprecated_factories_warn_and_work() -> None:
    with pytest.warns(DeprecationWarning, match="ConstantDelayRetryPolicy"):
        constant = ConstantDelayRetryPolicy(maximum_attempts=2, delay=1)
    with pytest.warns(DeprecationWarning, match="ExponentialBackoffRetryPolicy"):
        exponential = ExponentialBackoffRetryPolicy(initial_delay=2, jitter=False)
    with pytest.warns(DeprecationWarning, match="retry_policy"):
        jittered = ExponentialBackoffRetryPolicy(initial_delay=2)
    assert [constant.next(0.0, n, ERROR) for n in (1, 2)] == [1.0, None]
    assert [exponential.next(0.0, n, ERROR) for n in (1, 2, 5)] == [2.0, 4.0, None]
    delay = jittered.next(0.0, 2, ERROR)
    assert delay is not None
    assert 0 <= delay <= 4


class Seeded:
    def next(self, elapsed_time: float, attempts: int, error: Exception, *, seed: int | None = None) -> float | None:
        return float(seed or 0)


class Seedless:
    def next(self, elapsed_time: float, attempts: int, error: Exception) -> float | None:
        return elapsed_time


class Careless:
    def next(self, *args: object, **kwargs: object) -> float | None:
        return -1.0


def delay(policy: RetryPolicy | None, error: Exception = ERROR, *, attempts: int = 1) -> float | None:
    return retry_delay(policy, 7.0, attempts, error, f"run:step:{attempts}")


def test_the_seed_is_32_bits_of_run_step_and_failures() -> None:
    assert delay(Seeded()) == 0x1A950D4C
    assert delay(Seeded(), attempts=2) != delay(Seeded())


def test_a_policy_without_seed_is_called_without() -> None:
    assert delay(Seedless()) == 7.0  # pyright: ignore[reportArgumentType]


def test_a_delay_is_never_negative() -> None:
    assert delay(Careless()) == 0.0


def test_without_a_policy_nothing_is_tried_again() -> None:
    assert delay(None) is None


def test_retry_in_sets_the_wait_and_passes_the_condition() -> None:
    policy = retry_policy(retry=retry_never(), wait=wait_fixed(1), stop=stop_after_attempt(3))
    assert [delay(policy, RetryIn(30), attempts=n) for n in (1, 2, 3)] == [30.0, 30.0, None]
    assert delay(retry_policy(stop=stop_before_delay(20)), RetryIn(timedelta(seconds=13))) is None
    assert delay(Seedless(), RetryIn(30)) == 30.0  # pyright: ignore[reportArgumentType]


def test_retry_in_without_a_policy_is_tried_three_times_in_all() -> None:
    assert [delay(None, RetryIn(1), attempts=n) for n in (1, 2, 3)] == [1.0, 1.0, None]


def test_retry_in_says_why() -> None:
    assert str(RetryIn(2.5)) == "to be tried again in 2.5 seconds"
    assert (str(RetryIn(1, "429")), RetryIn(-1).seconds) == ("429", 0.0)
