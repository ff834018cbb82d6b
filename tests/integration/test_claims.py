"""When a worker claims, and what it does with what it has claimed together."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import pytest
import redis

from broker_wf import Workflow, step
from broker_wf.broker.asking import Asking, Claimed
from broker_wf.broker.claims import ClaimStore
from broker_wf.broker.clients import Argument
from broker_wf.broker.direct import DirectClient
from broker_wf.broker.packing import unpack
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.worker import worker
from tests.integration.stage import Stage, WorkerThread, within

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
    """Every claim that workers of this process send, by itself or along with a blocked read."""
    sent, original, command = list[Asking](), ClaimStore.claim, ClaimStore.command

    def claim(store: ClaimStore, asking: Callable[[], Asking]) -> Coroutine[object, object, Claimed]:
        def goes_out() -> Asking:
            sent.append(asking())
            return sent[-1]

        return original(store, goes_out)

    def along(store: ClaimStore, asking: Asking) -> tuple[Argument, ...]:
        sent.append(asking)
        return command(store, asking)

    monkeypatch.setattr(ClaimStore, "claim", claim)
    monkeypatch.setattr(ClaimStore, "command", along)
    return sent


async def test_one_run_after_the_other_takes_one_claim_each_that_waits_behind_the_bell(
    cluster: Stage, claims: list[Asking]
) -> None:
    cluster.change(block_ms=60_000)
    flow = await cluster.put_on(Short, workers=1)
    for n in range(2):  # the first one's bell was heard by a read that had no claim behind it
        await within(flow.run(n=n))
    before = len(claims)
    for n in range(MANY):
        assert await within(flow.run(n=n)) == n
    # And the one that waits behind the bell now, if that before the first run was sent only after its result had come.
    assert len(claims) - before <= MANY + 1
    assert [one for one in claims[before:] if not one.along_ms] == []


@pytest.mark.parametrize("cut", ["before it is done", "before it is answered"])
async def test_a_claim_whose_connection_is_cut_loses_nothing(
    cluster: Stage, claims: list[Asking], monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    cluster.change(block_ms=60_000, lease_ms=60_000)
    flow, original, lost = await cluster.put_on(Short, workers=1), DirectClient.round_trip, list[object]()

    async def round_trip(client: DirectClient, commands: Sequence[tuple[Argument, ...]]) -> list[object]:
        replies = await original(client, commands)
        is_along = len(commands) == 2 and commands[0][0] == "BLPOP" and commands[1][0] == "FCALL"
        if is_along and not lost and cast("list[list[object]]", unpack(cast("bytes", replies[1])))[0]:
            lost.append(replies[1])
            raise redis.ConnectionError("cut by the test")
        return replies

    for n in range(2):
        await within(flow.run(n=n))
    if cut == "before it is answered":
        monkeypatch.setattr(DirectClient, "round_trip", round_trip)
    else:
        cut_blocked_read(cluster.workers[0])
    for n in range(MANY):
        assert await within(flow.run(n=n)) == n, "before its lease is over"
    assert len(lost) == (cut == "before it is answered")
    assert [one.again for one in claims if not one.along_ms or one.again].count(True) == 1


def cut_blocked_read(thread: WorkerThread) -> None:
    assert thread.loop is not None
    assert thread.worker is not None
    link: Any = cast("Any", thread.worker)._mailbox._client._link
    thread.loop.call_soon_threadsafe(link._transport.abort)


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
