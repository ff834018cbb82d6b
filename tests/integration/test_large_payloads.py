"""Large parts of events reach whoever reads them."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest
import redis.asyncio as aredis

from broker_wf import Context, Workflow, step
from broker_wf.broker.clients import Argument
from broker_wf.broker.connection import Pipe
from broker_wf.broker.script import Script
from broker_wf.errors import BrokerError, LimitExceededError
from broker_wf.events import HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from tests.integration.large import Chain, Data, Held, Text, published
from tests.integration.stage import Stage, until, within

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def nobody_is_held() -> Iterator[None]:
    Held.waiting, Held.closed = 0, False
    yield
    Held.closed = False


@pytest.mark.parametrize("known", [True, False], ids=["cached", "strangers"])
async def test_a_chain_may_carry_three_megabytes(stage: Stage, known: bool, request: pytest.FixtureRequest) -> None:
    if not known:
        request.getfixturevalue("strangers")
    flow = await stage.put_on(Chain)
    text = "some text\n" * 300_000
    assert await within(flow.run(text=text)) == text


async def test_members_of_a_join_may_each_bring_a_large_part(stage: Stage, strangers: None) -> None:
    flow = await stage.put_on(Each)
    assert await within(flow.run(count=8)) == [(n, 1_500_000) for n in range(8)]


class Each(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Text]:
        return [Text(text="begin", n=n) for n in range(ev.count)]

    @step
    async def work(self, ev: Text) -> Data:
        return Data(data=bytes([ev.n]) * 1_500_000, n=ev.n)

    @step
    async def join(self, evs: list[Data]) -> StopEvent:
        assert all(one.data == bytes([one.n]) * 1_500_000 for one in evs)
        return StopEvent(result=sorted((one.n, len(one.data)) for one in evs))


class Result(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result={"rows": [*range(600_000)], "text": "r" * 2_000_000})


async def test_a_large_result_reaches_every_driver(stage: Stage, strangers: None) -> None:
    wanted = {"rows": [*range(600_000)], "text": "r" * 2_000_000}
    flow = await stage.put_on(Result)
    handler = flow.run()
    assert await within(handler) == wanted
    other = stage.flow(Result).attach(handler.run_id)
    assert await within(other) == wanted
    events = [event async for event in other.stream_events()]
    assert isinstance(events[-1], StopEvent)
    assert events[-1].result == wanted


class Publishing(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for n in range(3):
            ctx.write_event_to_stream(Text(text=str(n) * 2_000_000, n=n))
        ctx.write_event_to_stream(Text(text="1" * 2_000_000, n=3))
        return StopEvent(result="short")


async def test_large_published_events_are_read_now_and_later(stage: Stage, strangers: None) -> None:
    flow = await stage.put_on(Publishing)
    handler = flow.run()
    assert await published(handler) == [str(n) * 2_000_000 for n in (0, 1, 2, 1)]
    later = stage.flow(Publishing).attach(handler.run_id)
    assert await published(later) == [str(n) * 2_000_000 for n in (0, 1, 2, 1)]


class Slots(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Data | Text:
        ctx.send_event(Text(text="t" * 2_000_000))
        return Data(data=b"d" * 2_000_000)

    @step
    async def join(self, text: Text, data: Data) -> StopEvent:
        return StopEvent(result=(text.text == "t" * 2_000_000, data.data == b"d" * 2_000_000))


class Collecting(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Text | None:
        for n in range(4):
            ctx.send_event(Text(text=str(n) * 2_000_000, n=n))

    @step
    async def join(self, ctx: Context, ev: Text) -> StopEvent | None:
        found = ctx.collect_events(ev, [Text] * 4)
        if found is None:
            return None
        return StopEvent(result=sorted(one.text[:1] + str(len(one.text)) for one in found))


class Atomic(Workflow):
    @step(atomic=True)
    async def begin(self, ctx: Context, ev: StartEvent) -> Data | Text:
        ctx.write_event_to_stream(Text(text="w" * 2_000_000))
        ctx.send_event(Text(text="s" * 2_000_000))
        return Data(data=b"d" * 2_000_000)

    @step
    async def join(self, text: Text, data: Data) -> StopEvent:
        return StopEvent(result=(text.text == "s" * 2_000_000, data.data == b"d" * 2_000_000))


@pytest.mark.parametrize(
    ("cls", "result"),
    [(Slots, (True, True)), (Collecting, [f"{n}2000000" for n in range(4)]), (Atomic, (True, True))],
    ids=["slots", "collect_events", "atomic"],
)
async def test_large_events_meet(stage: Stage, strangers: None, cls: type[Workflow], result: Any) -> None:
    flow = await stage.put_on(cls)
    assert await within(flow.run()) == result


class Asking(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent(prefix="?")

    @step
    async def answered(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent(result=len(ev.response))


async def test_a_large_event_may_come_from_outside(stage: Stage, strangers: None) -> None:
    flow = await stage.put_on(Asking)
    handler = flow.run()
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            handler.ctx.send_event(HumanResponseEvent(response="r" * 3_000_000))
    assert await within(handler) == 3_000_000


class Flaky(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Text:
        return Text(text="t" * 2_000_000)

    @step
    async def end(self, ev: Text) -> StopEvent:
        await Held.here()
        return StopEvent(result=ev.text)


async def test_a_delivery_may_move_to_another_worker(cluster: Stage, strangers: None) -> None:
    Held.closed = True
    flow = await cluster.put_on(Flaky, workers=1)
    handler = flow.run()
    await until(lambda: Held.waiting == 1)
    await cluster.stop_worker(cluster.workers[0], 0)
    await cluster.add_worker(Flaky)
    await until(lambda: Held.waiting == 2)
    Held.closed = False
    assert await within(handler) == "t" * 2_000_000


class Length(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=len(ev.data))


async def test_32_mib_are_taken_and_one_byte_more_is_refused_at_the_driver(stage: Stage) -> None:
    flow = await stage.put_on(Length)
    limit, frame = 32 * MIB, 29
    assert await within(flow.run(data=os.urandom(limit - frame))) == limit - frame
    with pytest.raises(LimitExceededError, match="33,554,433 is over the limit of 33,554,432"):
        flow.run(data=bytes(limit - frame + 1))


async def test_a_submit_that_attaches_finds_the_same_start_event(stage: Stage) -> None:
    flow = await stage.put_on(Length)
    data = os.urandom(2_000_000)
    first = flow.run(data=data, run_id="the-same")
    assert await within(first) == 2_000_000
    second = stage.flow(Length).run(data=bytes(data), run_id="the-same")
    assert await within(second) == 2_000_000


async def arriving(stage: Stage) -> list[bytes]:
    async with aredis.Redis.from_url(stage.url) as client:
        return [key async for key in client.scan_iter(match=stage.keys.of("arriving", "*"))]


async def test_what_a_run_begins_with_arrives_in_front_of_it_and_stays_with_it_alone(stage: Stage) -> None:
    flow, data = await stage.put_on(Length), os.urandom(2_000_000)
    for _ in range(2):  # the second one is refused: there is such a run
        assert await within(flow.run(data=data, run_id="once")) == 2_000_000
    assert await arriving(stage) == []


async def test_what_has_gone_before_its_run_came_is_put_down_again(
    cluster: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the server is away for minutes in between."""
    flow, put, puts = await cluster.put_on(Length), Pipe.command, list[object]()

    def command(pipe: Pipe, *args: Argument) -> Awaitable[object]:
        if ":arriving:" not in str(args[1]):
            return put(pipe, *args)
        puts.append(args[0])
        return put(pipe, "UNLINK", args[1]) if puts == ["HSET", "PEXPIRE"] else put(pipe, *args)

    monkeypatch.setattr(Pipe, "command", command)
    assert await within(flow.run(data=os.urandom(2_000_000))) == 2_000_000
    assert puts == ["HSET", "PEXPIRE"] * 2


async def test_what_cannot_be_put_down_keeps_the_run_from_being_submitted(
    cluster: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, put = await cluster.put_on(Length), Pipe.command

    def command(pipe: Pipe, *args: Argument) -> Awaitable[object]:
        return put(pipe, "HSET", args[1]) if args[0] == "HSET" else put(pipe, *args)

    monkeypatch.setattr(Pipe, "command", command)
    with pytest.raises(BrokerError, match="wrong number of arguments"):
        await within(flow.run(data=os.urandom(2_000_000)))


async def test_it_expires_where_no_run_comes(cluster: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    flow, call = await cluster.put_on(Length), Pipe.call

    def refused(pipe: Pipe, script: Script, *values: object) -> Awaitable[object]:
        if script.name == "submit":
            raise BrokerError("the driver is dead")
        return call(pipe, script, *values)

    monkeypatch.setattr(Pipe, "call", refused)
    with pytest.raises(BrokerError, match="dead"):
        await within(flow.run(data=os.urandom(2_000_000)))
    (key,) = await arriving(cluster)
    async with aredis.Redis.from_url(cluster.url) as client:
        assert 0 < await client.pttl(key) <= 120_000
