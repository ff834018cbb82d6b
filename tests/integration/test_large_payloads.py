"""Large parts of events are kept once per run, whoever reads and writes them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any, ClassVar, cast

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.errors import DecodeError, LimitExceededError
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.wire.blobs import BlobCache
from tests.integration.stage import Stage, until, within

MIB = 1024 * 1024


class Text(Event):
    text: str
    n: int = 0


class Data(Event):
    data: bytes
    n: int = 0


class Done(Event):
    data: bytes
    n: int


class Held:
    """Keeps steps waiting until it is let go."""

    waiting: ClassVar[int] = 0
    closed: ClassVar[bool] = False

    @classmethod
    async def here(cls) -> None:
        cls.waiting += 1
        while cls.closed:
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def nobody_is_held() -> Iterator[None]:
    Held.waiting, Held.closed = 0, False
    yield
    Held.closed = False


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers and workers know nothing of what another has met, as if each were a process of its own."""

    def find(self: BlobCache, hash_: bytes) -> None:
        return None

    monkeypatch.setattr(BlobCache, "find", find)


class Server:
    """What a run has on the server."""

    def __init__(self, stage: Stage, run_id: str) -> None:
        self._stage, self._run_id = stage, run_id
        self.client = redis.Redis.from_url(stage.url)

    def close(self) -> None:
        self.client.close()

    @property
    def blob_key(self) -> str:
        return self._stage.keys.of("blob", self._run_id)

    @property
    def blobs(self) -> list[int]:
        """Sizes of the blobs as they are stored."""
        fields = cast("dict[bytes, bytes]", self.client.hgetall(self.blob_key))
        return sorted(len(part) for field, part in fields.items() if len(field) == 16)

    @property
    def live(self) -> int:
        return cast("int", self.client.hlen(self._stage.keys.of("live", self._run_id)))

    @property
    def bytes_held(self) -> int:
        """By all keys of the namespace."""
        keys = self.client.scan_iter(match=f"{self._stage.keys.tag}*", count=1000)
        return sum(cast("int", self.client.memory_usage(key, samples=0) or 0) for key in keys)


def server_of(stage: Stage, run_id: str) -> closing[Server]:
    return closing(Server(stage, run_id))


class Chain(Workflow):
    @step
    async def first(self, ev: StartEvent) -> Text:
        return Text(text=ev.text, n=1)

    @step
    async def second(self, ev: Text) -> Data:
        return Data(data=ev.text.encode(), n=2)

    @step
    async def third(self, ev: Data) -> StopEvent:
        return StopEvent(result=ev.data.decode())


@pytest.mark.parametrize("known", [True, False], ids=["cached", "strangers"])
async def test_a_chain_may_carry_three_megabytes(stage: Stage, known: bool, request: pytest.FixtureRequest) -> None:
    if not known:
        request.getfixturevalue("strangers")
    flow = await stage.put_on(Chain)
    text = "some text\n" * 300_000
    assert await within(flow.run(text=text)) == text


class SameText(Workflow):
    @step
    async def first(self, ev: StartEvent) -> Text:
        return Text(text=ev.text, n=1)

    @step
    async def second(self, ev: Text) -> Text | StopEvent:
        if ev.n < 10:
            return Text(text=ev.text, n=ev.n + 1)
        await Held.here()
        return StopEvent(result=len(ev.text))


async def test_a_chain_that_hands_one_text_on_stores_it_once(stage: Stage) -> None:
    Held.closed = True
    flow = await stage.put_on(SameText)
    text = os.urandom(1_500_000).hex()
    handler = flow.run(text=text)
    await until(lambda: Held.waiting == 1)
    with server_of(stage, handler.run_id) as server:
        assert len(server.blobs) == 1
        assert server.bytes_held < 1.3 * server.blobs[0]
        Held.closed = False
        assert await within(handler) == len(text)


@pytest.mark.parametrize("known", [True, False], ids=["cached", "strangers"])
async def test_a_blob_that_is_on_the_server_is_not_sent_again(
    stage: Stage, known: bool, request: pytest.FixtureRequest
) -> None:
    if not known:
        request.getfixturevalue("strangers")
    Held.closed = True
    flow = await stage.put_on(SameText)
    with closing(redis.Redis.from_url(stage.url)) as client:
        before = bytes_taken(client)
        handler = flow.run(text=os.urandom(1_500_000).hex())
        await until(lambda: Held.waiting == 1)
        taken = bytes_taken(client) - before
    with server_of(stage, handler.run_id) as server:
        assert taken < 1.2 * server.blobs[0]
    Held.closed = False
    await within(handler)


def bytes_taken(client: redis.Redis) -> int:
    return cast("dict[str, int]", client.info("stats"))["total_net_input_bytes"]


class FanOut(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Data]:
        data = os.urandom(2_000_000)
        return [Data(data=data, n=n) for n in range(ev.count)]

    @step
    async def work(self, ev: Data) -> Done:
        await Held.here()
        return Done(data=ev.data, n=ev.n + 1)

    @step
    async def join(self, evs: list[Done]) -> StopEvent:
        assert len({id(one.data) for one in evs}) == 1
        return StopEvent(result=(len(evs), sum(one.n for one in evs), len(evs[0].data)))


@pytest.mark.parametrize("count", [200, 1_000], ids=["at_once", "staged"])
async def test_a_fan_out_shares_one_copy(stage: Stage, count: int) -> None:
    Held.closed = True
    flow = await stage.put_on(FanOut)
    handler = flow.run(count=count)
    await until(lambda: Held.waiting > 0)
    with server_of(stage, handler.run_id) as server:
        assert server.live >= 200
        assert len(server.blobs) == 1
        assert server.bytes_held < 2 * 2_000_000
        Held.closed = False
        assert await within(handler) == (count, sum(range(count)) + count, 2_000_000)


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


async def published(handler: WorkflowHandler) -> list[str]:
    return [event.text async for event in handler.stream_events() if isinstance(event, Text)]


async def test_large_published_events_are_read_now_and_later(stage: Stage, strangers: None) -> None:
    flow = await stage.put_on(Publishing)
    handler = flow.run()
    assert await published(handler) == [str(n) * 2_000_000 for n in (0, 1, 2, 1)]
    later = stage.flow(Publishing).attach(handler.run_id)
    assert await published(later) == [str(n) * 2_000_000 for n in (0, 1, 2, 1)]


class Passing(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Text:
        ctx.write_event_to_stream(Text(text="published" * 200_000))
        return Text(text="passed on" * 200_000)

    @step
    async def end(self, ev: Text) -> StopEvent:
        return StopEvent(result="the result" * 200_000)


async def test_after_the_end_only_what_can_be_asked_for_is_kept_and_expires(stage: Stage) -> None:
    stage.change(compress_from=32 * MIB)
    flow = await stage.put_on(Passing)
    handler = flow.run()
    await within(handler)
    with server_of(stage, handler.run_id) as server:
        assert server.blobs == [9 * 200_000 + 6, 10 * 200_000 + 6]
        assert 0 < cast("int", server.client.pttl(server.blob_key)) <= stage.settings.keep_ms


async def test_a_run_that_kept_nothing_for_later_leaves_no_blob(stage: Stage) -> None:
    flow = await stage.put_on(SameText)
    handler = flow.run(text="t" * 2_000_000)
    await within(handler)
    with server_of(stage, handler.run_id) as server:
        assert not server.client.exists(server.blob_key)


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


class TwoSends(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Text:
        ctx.write_event_to_stream(Text(text="t" * 2_000_000, n=1))
        await ctx.store.set("written", True)
        await Held.here()
        return Text(text="t" * 2_000_000, n=2)

    @step
    async def end(self, ev: Text) -> StopEvent:
        return StopEvent(result=len(ev.text))


async def test_a_blob_the_server_has_lost_is_sent_again(stage: Stage, strangers: None) -> None:
    Held.closed = True
    flow = await stage.put_on(TwoSends)
    handler = flow.run()
    await until(lambda: Held.waiting == 1)
    with server_of(stage, handler.run_id) as server:
        assert len(server.blobs) == 1
        server.client.delete(server.blob_key)
    Held.closed = False
    assert await within(handler) == 2_000_000


async def test_a_run_whose_blob_is_lost_for_good_fails_and_says_of_which_part(cluster: Stage, strangers: None) -> None:
    flow = cluster.flow(Chain)
    handler = flow.run(text="t" * 2_000_000)
    with server_of(cluster, handler.run_id) as server:
        await until(lambda: bool(server.blobs))
        server.client.delete(server.blob_key)
    await cluster.add_worker(Chain)
    with pytest.raises(DecodeError, match="'text' is kept apart, in a blob of 2,000,005 bytes, and that is not there"):
        await within(handler)


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


async def test_the_threshold_can_be_set(stage: Stage, strangers: None) -> None:
    stage.change(blob_from=2_000)
    Held.closed = True
    flow = await stage.put_on(SameText)
    handler = flow.run(text="t" * 1_998)
    await until(lambda: Held.waiting == 1)
    with server_of(stage, handler.run_id) as server:
        assert server.blobs == [2_002]
    Held.closed = False
    assert await within(handler) == 1_998


async def test_a_submit_that_attaches_finds_the_same_start_event(stage: Stage) -> None:
    flow = await stage.put_on(Length)
    data = os.urandom(2_000_000)
    first = flow.run(data=data, run_id="the-same")
    assert await within(first) == 2_000_000
    second = stage.flow(Length).run(data=bytes(data), run_id="the-same")
    assert await within(second) == 2_000_000
