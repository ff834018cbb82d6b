"""Which steps are executed ahead of the commit that hands them their event."""

from __future__ import annotations

from typing import Any, cast

from broker_wf.core.ids import StepName
from broker_wf.core.spec import StepSpec
from broker_wf.engine.pace import Pace

QUICK_S, SLOW_S = 0.0005, 0.0015


class _Step:
    name, is_plain = StepName("work"), True


STEP = cast(StepSpec, cast(Any, _Step))


def pace_after(*took: float) -> Pace:
    pace = Pace()
    for seconds in took:
        pace.took(STEP, seconds)
    return pace


def test_a_step_is_quick_after_three_quick_executions() -> None:
    assert not pace_after(*[QUICK_S] * 2).is_quick(STEP)
    assert pace_after(*[QUICK_S] * 3).is_quick(STEP)


def test_a_busy_machine_that_holds_one_execution_up_does_not_make_it_slow() -> None:
    assert pace_after(*[QUICK_S] * 6, SLOW_S).is_quick(STEP)
    assert pace_after(*[QUICK_S] * 100, SLOW_S, SLOW_S, SLOW_S).is_quick(STEP)


def test_a_step_that_has_become_slow_is_so_after_four_executions() -> None:
    assert not pace_after(*[QUICK_S] * 1000, *[SLOW_S] * 4).is_quick(STEP)


def test_one_that_is_slow_every_third_time_is_not_quick() -> None:
    pace = pace_after(*[SLOW_S, QUICK_S, QUICK_S] * 50)
    assert not pace.is_quick(STEP)


def test_a_step_that_has_waited_is_quick_no_sooner_than_after_a_hundred_executions() -> None:
    pace = pace_after(*[QUICK_S] * 5)
    pace.waited(STEP.name)
    for _ in range(102):
        pace.took(STEP, QUICK_S)
        assert not pace.is_quick(STEP)
    pace.took(STEP, QUICK_S)
    assert pace.is_quick(STEP)


def test_one_that_uses_its_context_never_is() -> None:
    pace = Pace()
    pace.uses_its_context(STEP.name)
    for seconds in (*[QUICK_S] * 200, SLOW_S, *[QUICK_S] * 200):
        pace.took(STEP, seconds)
    assert not pace.is_quick(STEP)
