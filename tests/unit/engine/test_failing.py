from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from broker_wf import Workflow, step
from broker_wf.broker.deliveries import Ended
from broker_wf.core.outcome import Raised
from broker_wf.engine import failing
from broker_wf.engine.failing import Failing
from broker_wf.events import StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from tests.unit.core.deliveries import delivery


class Flow(Workflow):
    @step(retry_policy=retry_policy(wait=wait_fixed(2), stop=stop_after_attempt(2)))
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent()


@pytest.mark.parametrize(("ended", "timers"), [(Ended.DONE, [2000]), (Ended.GONE, []), (Ended.FENCED, [])])
async def test_only_who_has_set_the_time_of_a_retry_looks_when_it_is_due(ended: Ended, timers: list[int]) -> None:
    seen: list[int] = []

    async def fail(*_: object, **__: object) -> Ended:
        return ended

    store = SimpleNamespace(fail=fail)
    site: Any = SimpleNamespace(broker=SimpleNamespace(deliveries=store), is_busy=lambda: False, timer_set=seen.append)
    made = Failing(program=Flow().program(), site=site, delivery=delivery(), effects=[], sent=lambda: None)
    assert await failing.failed(made, Raised(error=ValueError("no")), 0) is ended
    assert seen == timers
