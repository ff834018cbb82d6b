"""Runs whose payloads are signed: whatever copies them from run to run signs them again, and nobody else can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import msgpack
import pytest
import pytest_asyncio
import redis

from broker_wf import Context, Workflow, step
from broker_wf.again import rerun
from broker_wf.core.ids import RunId
from broker_wf.errors import DecodeError, NothingToRerunError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.inspecting import opened_broker
from tests.integration.stage import Stage, until, within

KEY, OTHER = "the-key-of-these-runs", "the-key-of-tomorrow"
RESULT = [0, 3, 6, "yes"]


class Part(Event):
    n: int


class Done(Event):
    n: int


class Answer(HumanResponseEvent):
    word: str


class Doubles(Workflow):
    @step
    async def double(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=2 * ev.n)


async def same(numbers: list[int]) -> list[int]:
    return numbers


class Everything(Workflow):
    """Fans out, remembers, has children, keeps state, joins, and asks."""

    @step
    async def spread(self, ctx: Context, ev: StartEvent) -> list[Part]:
        await ctx.store.set("first", ev.first)
        await ctx.store.set("second", [ev.first])
        return [Part(n=n) for n in range(3)]

    @step
    async def work(self, ctx: Context, ev: Part) -> Done:
        doubled = await Doubles(timeout=120).run(n=ev.n)
        await ctx.store.append("second", ev.n)
        return Done(n=ev.n + doubled)

    @step
    async def gather(self, ctx: Context, ev: list[Done]) -> StopEvent:
        numbers = await ctx.once("numbers", same, sorted(one.n for one in ev))
        answer = await ctx.wait_for_event(Answer, waiter_event=InputRequiredEvent(prefix="?"))
        second = await ctx.store.get("second")
        assert (second[0], {*second[1:]}) == (await ctx.store.get("first"), {0, 1, 2})
        return StopEvent(result=[*numbers, answer.word])


@pytest_asyncio.fixture
async def signed(stage: Stage) -> AsyncIterator[Stage]:
    """Both ways in which a run can execute, with a key."""
    stage.change(signing_key=KEY)
    yield stage


@pytest_asyncio.fixture
async def workers(cluster: Stage) -> AsyncIterator[Stage]:
    """Workers with a key."""
    cluster.change(signing_key=KEY)
    yield cluster


async def asked(handler: WorkflowHandler[Any]) -> None:
    """Wait until a run asks."""
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            return


async def answered(handler: WorkflowHandler[Any], *, asks: bool = True) -> Any:
    """The result of a run that asks, or that goes on where another one has asked."""
    if asks:
        await within(asked(handler))
    await handler.send_event(Answer(word="yes"))
    return await within(handler)


def refused(where: str, run: WorkflowHandler[Any]) -> str:
    return f"{where} cannot be decoded: it is not what a key in BROKER_WF_SIGNING_KEY has signed for {run.run_id}"


async def test_a_run_goes_on_from_a_saved_context_in_another_namespace(signed: Stage) -> None:
    handler = (await signed.put_on(Everything)).run(first="first")
    await within(asked(handler))
    saved = handler.ctx.to_dict()
    await handler.cancel_run()
    elsewhere = Stage(signed.settings)
    elsewhere.change(namespace=f"{signed.settings.namespace}-else")
    flow = await elsewhere.put_on(Everything)
    assert await answered(flow.run(ctx=Context.from_dict(flow, saved)), asks=False) == RESULT
    fresh = flow.run(first="first")
    early = fresh.ctx.to_dict()
    assert await answered(flow.run(ctx=Context.from_dict(flow, early))) == RESULT
    assert await answered(fresh) == RESULT
    after = flow.run(ctx=fresh.ctx, first="first")
    assert await answered(after) == RESULT
    await elsewhere.clear()


@pytest.mark.parametrize("again_with", [KEY, f"{OTHER},{KEY}"])
async def test_a_run_is_done_again_whole_and_from_its_steps(workers: Stage, again_with: str) -> None:
    flow = await workers.put_on(Everything)
    first = flow.run(first="first")
    assert await answered(first) == RESULT
    await workers.clear()
    workers.change(signing_key=again_with)
    flow = await workers.put_on(Everything)
    async with opened_broker(workers.settings) as broker:
        last: str = first.run_id
        for from_step in (None, "work", "gather"):
            last = await rerun(broker, last, from_step=from_step)
            assert await answered(flow.attach(last)) == RESULT


async def test_what_was_not_finished_is_done_by_another_run(workers: Stage) -> None:
    flow = await workers.put_on(Everything)
    first = flow.run(first="first")
    await within(asked(first))
    await first.cancel_run()
    async with opened_broker(workers.settings) as broker:
        again = await rerun(broker, first.run_id, from_step="gather")
    assert await answered(flow.attach(again), asks=False) == RESULT


async def test_who_has_no_key_cannot_do_a_signed_run_again(workers: Stage) -> None:
    first = (await workers.put_on(Everything)).run(first="first")
    await answered(first)
    workers.change(signing_key="")
    async with opened_broker(workers.settings) as broker:
        for from_step in (None, "work"):
            with pytest.raises(NothingToRerunError, match="this process has no BROKER_WF_SIGNING_KEY"):
                await rerun(broker, first.run_id, from_step=from_step, new_id="again")


async def test_an_event_of_another_run_is_refused(workers: Stage) -> None:
    flow = workers.flow(Everything)
    one, other = flow.run(first="a"), flow.run(first="b")
    await one.followed.broker()
    await other.followed.broker()
    with redis.Redis.from_url(workers.url) as client:
        records = [
            cast("dict[bytes, bytes]", client.hgetall(workers.keys.of("live", run.run_id))) for run in (one, other)
        ]
        ((name, raw),), ((_, brought),) = (record.items() for record in records)
        record = msgpack.unpackb(raw, raw=True, strict_map_key=False)
        record[b"p"] = msgpack.unpackb(brought, raw=True, strict_map_key=False)[b"p"]
        client.hset(workers.keys.of("live", one.run_id), name.decode(), msgpack.packb(record, use_bin_type=False))
    await workers.put_on(Everything)
    with pytest.raises(DecodeError, match=refused("an event", one)):
        await within(one)
    assert await answered(flow.attach(other.run_id)) == RESULT


async def test_an_event_that_the_step_does_not_take_is_refused(workers: Stage) -> None:
    """One of the same run: it is signed for that, and not for a step."""
    flow = workers.flow(Everything)
    run = flow.run(first="first")
    await run.followed.broker()
    payload = run.followed.codec.encode_event(Done(n=1)).payload
    with redis.Redis.from_url(workers.url) as client:
        ((name, raw),) = cast("dict[bytes, bytes]", client.hgetall(workers.keys.of("live", run.run_id))).items()
        record = {**msgpack.unpackb(raw, raw=True, strict_map_key=False), b"p": payload}
        packed = cast(bytes, msgpack.packb(record, use_bin_type=False))
        client.hset(workers.keys.of("live", run.run_id), name.decode(), packed)
    await workers.put_on(Everything)
    with pytest.raises(DecodeError, match="Done is signed, and step spread takes no such event"):
        await within(run)


async def test_what_a_run_keeps_is_refused_elsewhere(workers: Stage) -> None:
    """Values of the state: of another run, at another key. What a step remembers. Results, and the feed."""
    flow = await workers.put_on(Everything)
    one, other = flow.run(first="first"), flow.run(first="first")
    await within(asked(one))
    await within(asked(other))
    with redis.Redis.from_url(workers.url) as client:
        theirs, mine = workers.keys.of("state", other.run_id), workers.keys.of("state", one.run_id)
        whole = cast("dict[bytes, bytes]", client.hgetall(mine))
        for brought in (client.hget(theirs, "first"), whole[b"second"]):
            client.hset(mine, "first", cast(bytes, brought))
            with pytest.raises(DecodeError, match=refused("state key 'first'", one)):
                await one.ctx.store.get("first")
        client.hset(mine, mapping=cast(Any, whole))
        assert await one.ctx.store.get("first") == "first"

        (remembers,) = client.keys(workers.keys.of_run("once", RunId(one.run_id), ":*"))
        (theirs,) = client.keys(workers.keys.of_run("once", RunId(other.run_id), ":*"))
        client.hset(remembers, mapping=cast(Any, client.hgetall(theirs)))
        await other.send_event(Answer(word="yes"))
        assert await within(other) == RESULT
        await one.send_event(Answer(word="yes"))
        with pytest.raises(DecodeError, match=refused(r"the result of once\('numbers'\)", one)):
            await within(one)

        third = flow.run(first="first")
        await answered(third)
        of_other, of_third = workers.keys.of("run", other.run_id), workers.keys.of("run", third.run_id)
        client.hset(of_third, "result", cast(bytes, client.hget(of_other, "result")))
        with pytest.raises(DecodeError, match=refused("an event", third)):
            await within(flow.attach(third.run_id))
        feed = workers.keys.of("feed", third.run_id)
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(workers.keys.of("feed", other.run_id)))
        life_ms = cast(int, client.pttl(feed))
        client.delete(feed)
        for number, fields in entries:
            client.xadd(feed, cast(Any, fields), id=number)
        client.pexpire(feed, life_ms)
        attached = flow.attach(third.run_id)
        with pytest.raises(DecodeError, match=refused("an event", third)):
            await within(asked(attached))
        await until(lambda: attached.followed.end.done())
