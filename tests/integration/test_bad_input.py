from __future__ import annotations

import threading
from typing import Any, cast

import msgpack
import pytest
import redis

from broker_wf import Context, Workflow, catch_error, step
from broker_wf.core.ids import Lane
from broker_wf.errors import DecodeError, EncodeError, PoisonError
from broker_wf.events import Event, StartEvent, StepFailedEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from tests.apps import foreign
from tests.integration.stage import Stage, until, within


class Middle(Event):
    text: str = ""


class Parcel(Event):
    things: list[Any]


class Plain(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Middle:
        return Middle(text=str(ev.text))

    @step
    async def end(self, ev: Middle) -> StopEvent:
        return StopEvent(result=ev.text)


class Patient(Workflow):
    @step(retry_policy=retry_policy(wait=wait_fixed(60), stop=stop_after_attempt(3)))
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent()

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        """Not called: it could not read the event either."""
        return StopEvent(result="rescued")


class Unsendable(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Parcel:
        bad = Parcel(things=[1, {"owner": threading.Lock()}])
        if ev.how == "sent":
            ctx.send_event(bad)
        if ev.how == "streamed":
            ctx.write_event_to_stream(bad)
        return bad

    @step
    async def end(self, ev: Parcel) -> StopEvent:
        return StopEvent(result="not reached")


class UnsendableResult(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=threading.Lock())


MALFORMED: list[dict[bytes, bytes]] = [
    {b"x": b"y"},
    {b"d": b"run|0"},
    {b"d": b"0@end"},
    {b"d": b"run|0@end", b"more": b"1"},
    {b"\xff\xfe": b"\x00\x80"},
    {b"d": b""},
]
OF_NO_RUN: list[dict[bytes, bytes]] = [
    {b"d": b"no-such-run|0@end"},
    {b"d": b"\xff\xfe|\xc1@\x00"},
    {b"d": b"|@"},
    {b"d": b"a|b|@@@,,"},
]


async def test_a_start_event_that_cannot_travel_is_refused_at_the_call(stage: Stage) -> None:
    with pytest.raises(EncodeError) as caught:
        stage.flow(Plain).run(text={"deep": [threading.Lock()]})
    assert (caught.value.event, caught.value.path) == ("StartEvent", "text['deep'][0]")
    assert "lock" in caught.value.type_name


@pytest.mark.parametrize("how", ["sent", "streamed", "returned"])
async def test_an_event_that_cannot_travel_fails_the_step_that_makes_it(stage: Stage, how: str) -> None:
    flow = await stage.put_on(Unsendable)
    with pytest.raises(EncodeError, match=r"Parcel\.things\[1\]\['owner'\] of type _thread\.lock cannot be encoded"):
        await within(flow.run(how=how))


async def test_a_result_that_cannot_travel_fails_the_run(stage: Stage) -> None:
    flow = await stage.put_on(UnsendableResult)
    with pytest.raises(EncodeError, match=r"StopEvent\.result of type _thread\.lock cannot be encoded"):
        await within(flow.run())


def letters(client: redis.Redis, stage: Stage) -> list[dict[bytes, Any]]:
    """The dead letters of the namespace."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(stage.keys.of("dead")))
    return [msgpack.unpackb(fields[b"letter"], raw=True, strict_map_key=False) for _, fields in entries]


async def test_entries_that_nobody_can_read_become_dead_letters_and_work_goes_on(cluster: Stage) -> None:
    flow = await cluster.put_on(Plain)
    work = cluster.keys.of("work", Lane(flow.workflow_name), "Middle")
    with redis.Redis.from_url(cluster.url) as client:
        for fields in (*MALFORMED, *OF_NO_RUN):
            client.xadd(work, cast("Any", fields))
        client.zadd(cluster.keys.of("ready", Lane(flow.workflow_name)), {"w:Middle|end": 0})
        assert await within(flow.run(text="still here")) == "still here"
        await until(lambda: len(letters(client, cluster)) == len(MALFORMED))
        await until(lambda: client.xlen(work) == 0)
        assert {letter[b"kind"] for letter in letters(client, cluster)} == {b"malformed"}
        assert letters(client, cluster)[0][b"fields"] == [b"x", b"y"]


def rewrite_payload(client: redis.Redis, stage: Stage, run_id: str, payload: bytes) -> None:
    """Put other bytes where a live delivery keeps its event."""
    rewrite(client, stage, run_id, {b"p": payload})


def rewrite(client: redis.Redis, stage: Stage, run_id: str, fields: dict[bytes, object]) -> None:
    """Change the record of the one live delivery of a run."""
    live = stage.keys.of("live", run_id)
    ((field, raw),) = cast("dict[bytes, bytes]", client.hgetall(live)).items()
    record = cast("dict[bytes, Any]", msgpack.unpackb(raw, raw=True, strict_map_key=False))
    record |= fields
    client.hset(live, field.decode(), msgpack.packb(record, use_bin_type=False))


async def test_a_delivery_that_cannot_be_read_is_told_of_once(cluster: Stage, caplog: pytest.LogCaptureFixture) -> None:
    cluster.change(lease_ms=300, sweep_ms=50)
    handler = cluster.flow(Plain).run(text="x")
    with redis.Redis.from_url(cluster.url) as client:
        await until(lambda: client.hlen(cluster.keys.of("live", handler.run_id)) == 1)
        rewrite(client, cluster, handler.run_id, {b"m": b"\xff"})
    for _ in range(2):
        await cluster.add_worker(Plain)
    with pytest.raises(PoisonError):
        await within(handler)
    assert caplog.text.count("a delivery cannot be read") == 1


@pytest.mark.parametrize("payload", ["bytes", "empty", "a class that is not registered"])
async def test_an_event_that_cannot_be_read_fails_its_run_and_becomes_a_dead_letter(
    cluster: Stage, payload: str
) -> None:
    flow = cluster.flow(Plain)
    unknown = cluster.flow(foreign.Foreign).program().codec.encode_event(foreign.Elsewhere())
    raw = {"bytes": b"\xc1\xff not msgpack", "empty": b""}.get(payload, unknown.payload)
    handler = flow.run(text="x")
    with redis.Redis.from_url(cluster.url) as client:
        await until(lambda: client.hlen(cluster.keys.of("live", handler.run_id)) == 1)
        rewrite_payload(client, cluster, handler.run_id, raw)
        await cluster.add_worker(Plain)
        with pytest.raises(DecodeError):
            await within(handler)
        (letter,) = letters(client, cluster)
        assert (letter[b"kind"], letter[b"run"].decode(), letter[b"step"]) == (b"undecodable", handler.run_id, b"begin")
    assert await within(flow.run(text="still here")) == "still here"


async def test_an_event_that_cannot_be_read_is_neither_tried_again_nor_handled(cluster: Stage) -> None:
    handler = cluster.flow(Patient).run()
    with redis.Redis.from_url(cluster.url) as client:
        await until(lambda: client.hlen(cluster.keys.of("live", handler.run_id)) == 1)
        rewrite_payload(client, cluster, handler.run_id, b"\xc1")
        await cluster.add_worker(Patient)
        with pytest.raises(DecodeError):
            await within(handler)
