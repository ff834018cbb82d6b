"""When a worker claims, and what it does with what it has claimed together."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine

import pytest
import redis

from broker_wf import Workflow, step
from broker_wf.broker.asking import Asking, Claimed
from broker_wf.broker.deliveries import DeliveryStore
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.worker import worker
from tests.integration.stage import Stage, within

MANY, LONG_S = 48, 0.005
AT_ONCE = worker._AT_ONCE


class Short(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev.n)


class Item(Event):
    n: int
    key: str
    url: str


class Done(Event):
    n: int


class Worked(Event):
    pass


class Looks(Workflow):
    """Each item takes a while without waiting for anything, and looks at how many are done by then."""

    @step
    async def spread(self, ev: StartEvent) -> list[Item]:
        return [Item(n=n, key=ev.key, url=ev.url) for n in range(MANY)]

    @step
    async def work(self, ev: Item) -> Done:
        time.sleep(LONG_S)
        with redis.Redis.from_url(ev.url) as client:
            return Done(n=int(client.hlen(ev.key)))

    @step
    async def gather(self, ev: list[Done]) -> StopEvent:
        return StopEvent(result=[one.n for one in ev])


class Wide(Workflow):
    @step
    async def spread(self, ev: StartEvent) -> list[Done]:
        return [Done(n=n) for n in range(MANY)]

    @step
    async def work(self, ev: Done) -> Worked:
        return Worked()

    @step
    async def gather(self, ev: list[Worked]) -> StopEvent:
        return StopEvent(result=len(ev))


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> list[Asking]:
    """Every claim that workers of this process send."""
    sent, original = list[Asking](), DeliveryStore.claim

    def claim(store: DeliveryStore, asking: Callable[[], Asking]) -> Coroutine[object, object, Claimed]:
        def goes_out() -> Asking:
            sent.append(asking())
            return sent[-1]

        return original(store, goes_out)

    monkeypatch.setattr(DeliveryStore, "claim", claim)
    return sent


async def test_one_run_after_the_other_takes_one_claim_each(cluster: Stage, claims: list[Asking]) -> None:
    cluster.change(block_ms=60_000)
    flow = await cluster.put_on(Short, workers=1)
    await within(flow.run(n=0))
    before = len(claims)
    for n in range(MANY):
        assert await within(flow.run(n=n)) == n
    assert len(claims) - before <= MANY


async def test_what_was_claimed_together_is_committed_while_the_rest_executes(
    cluster: Stage, claims: list[Asking]
) -> None:
    flow, seen = await cluster.put_on(Looks, workers=1), list[int]()
    for run_id in ("first", "second"):  # when the server has all functions
        seen = await within(flow.run(run_id=run_id, key=cluster.keys.of("done", run_id), url=cluster.url))
    assert len(seen) == MANY
    assert max(seen) > AT_ONCE, "the last ones began before the first ones were done"
    assert max(one.free for one in claims) == cluster.settings.concurrency
    assert len(claims) < MANY


async def test_a_server_that_lacks_the_functions_keeps_no_work_from_its_worker(cluster: Stage) -> None:
    """The commit that makes work is done later than the claim that was sent behind it: nobody else is rung for."""
    cluster.change(block_ms=60_000)
    flow = await cluster.put_on(Wide, workers=1)
    for _ in range(3):
        with redis.Redis.from_url(cluster.url) as client:
            client.function_flush()
        assert await within(flow.run()) == MANY
