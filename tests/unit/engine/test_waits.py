from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from broker_wf import Workflow, step
from broker_wf.core.delivery import Delivery
from broker_wf.core.pause import WaitingForEvent
from broker_wf.engine.waits import StepWaits, Wanted
from broker_wf.events import HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from tests.unit.core.deliveries import delivery


class Remembering:
    """Results that a delivery has from before."""

    def __init__(self, kept: dict[str, bytes]) -> None:
        self.kept, self.read = kept, 0

    async def remembered(self, _: Delivery) -> dict[str, bytes]:
        self.read += 1
        return dict(self.kept)

    async def remember(self, _: Delivery, key: str, value: bytes) -> None:
        self.kept[key] = value


class Flow(Workflow):
    @step
    async def go(self, ev: StartEvent) -> StopEvent:
        return StopEvent()


def waits(kept: dict[str, bytes] | None = None, *, remembers: bool = False) -> tuple[StepWaits, Remembering]:
    store = Remembering(kept or {})
    site: Any = SimpleNamespace(broker=SimpleNamespace(waits=store), threads=ThreadPoolExecutor(1))
    program = Flow().program(is_open=True)
    return StepWaits(program=program, site=site, delivery=delivery(step="go", remembers=remembers)), store


async def test_results_are_read_once_for_all_calls_of_an_execution() -> None:
    codec = Flow().program(is_open=True).codec
    found, store = waits({"a": codec.encode_value(1, what="a")}, remembers=True)
    assert await found.once("a", lambda: 9, ()) == 1
    assert await found.once("b", lambda: 2, ()) == 2
    assert await found.once("b", lambda: 3, ()) == 2
    assert store.read == 1
    assert set(store.kept) == {"a", "b"}


async def test_events_that_no_signature_names_may_be_waited_for_where_the_run_stays_in_its_process() -> None:
    class Question(InputRequiredEvent):
        pass

    class Answer(HumanResponseEvent):
        pass

    found, _ = waits()
    wanted = Wanted(event_type=Answer, waiter_event=Question(), waiter_id=None, requirements={}, timeout_s=None)
    with pytest.raises(WaitingForEvent):
        await found.wait(wanted)
    registry = found.program.codec.registry
    assert [registry.name_of(cls) for cls in (Question, Answer)] != [None, None]
    await asyncio.sleep(0)
