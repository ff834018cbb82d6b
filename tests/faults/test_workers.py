"""Workers that are killed, frozen, poisoned, told to go."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable

import pytest

from broker_wf.errors import PoisonError
from broker_wf.handler import WorkflowHandler
from tests.apps.faulty import Editing, Fan, Handled, Pair, Poisonous, Quick
from tests.faults.cluster import until
from tests.faults.nursery import Child
from tests.faults.records import Records

ITEMS = 200


def work(records: Records, concurrency: int = 8) -> Child:
    """One more worker of the faulty workflows."""
    return records.fork(concurrency=concurrency, serves="faulty")


async def within(handler: WorkflowHandler, seconds: float = 60.0) -> object:
    return await asyncio.wait_for(handler.stop_event_result(), seconds)


async def meanwhile(predicate: Callable[[], object], what: str) -> None:
    """Wait for a predicate without holding the event loop up."""
    await asyncio.to_thread(until, predicate, what)


async def test_a_worker_killed_in_the_middle_of_a_fan_out_costs_no_item_and_doubles_none(records: Records) -> None:
    cluster = records.cluster
    first, _ = work(records), work(records)
    handler = Fan(broker=cluster.settings).run(count=ITEMS, pause_s=0.05, ledger=str(cluster.ledger))
    await meanwhile(lambda: len(cluster.lines()) > ITEMS // 4 and cluster.held_by(first), "the fan-out's middle")
    held = cluster.held_by(first)
    first.kill()
    await within(handler)
    assert await handler == list(range(ITEMS))
    began = sum(cluster.starts().values())
    assert ITEMS <= began <= ITEMS + max(held, 8), "no more was begun again than the killed worker held"
    await meanwhile(lambda: not cluster.left(), "an empty namespace")


@pytest.mark.parametrize("seed", [1, 2])
async def test_workers_killed_again_and_again_lose_nothing(records: Records, seed: int) -> None:
    cluster = records.cluster
    chance = random.Random(seed)
    for _ in range(3):
        work(records, concurrency=4)
    flow = Fan(broker=cluster.settings)
    handlers = [flow.run(count=20, pause_s=0.05, ledger=str(cluster.ledger)) for _ in range(20)]
    for _ in range(4):
        await asyncio.sleep(chance.uniform(0.2, 0.6))
        victim = chance.choice([one for one in cluster.workers if one.poll() is None])
        victim.kill()
        await asyncio.to_thread(work, records, 4)
    for handler in handlers:
        await within(handler)
        assert await handler == list(range(20))
    await meanwhile(lambda: not cluster.left(), "an empty namespace")


@pytest.mark.parametrize("comes_back", ["after the commit", "while the other is inside"])
async def test_a_frozen_worker_that_comes_back_commits_nothing(records: Records, comes_back: str) -> None:
    cluster = records.cluster
    frozen = work(records)
    pause_s = 1.0 if comes_back == "after the commit" else 4.0
    handler = Pair(broker=cluster.settings).run(count=0, pause_s=pause_s, ledger=str(cluster.ledger))
    await meanwhile(lambda: cluster.starts()["first"] == 1, "the first one's start")
    frozen.send_signal(signal.SIGSTOP)
    other = work(records)
    await meanwhile(lambda: cluster.starts()["first"] == 2, "the second lease")
    if comes_back == "after the commit":
        await meanwhile(lambda: cluster.starts()["second"] == 1, "the other's commit")
    frozen.send_signal(signal.SIGCONT)
    await within(handler)
    assert await handler == other.pid, "the run went on from the commit of the second lease"
    await asyncio.sleep(pause_s)
    assert cluster.starts() == {"first": 2, "second": 1}
    await meanwhile(lambda: not cluster.left(), "an empty namespace")


async def test_a_delivery_that_kills_three_workers_is_poison_and_healthy_runs_do_not_notice(records: Records) -> None:
    cluster = records.cluster
    for _ in range(2):
        work(records)
    flow = Fan(broker=cluster.settings)
    poisonous = Poisonous(broker=cluster.settings).run(count=0, pause_s=0.0, ledger=str(cluster.ledger))
    healthy = [flow.run(count=5, pause_s=0.02, ledger=str(cluster.ledger)) for _ in range(60)]

    async def replace_the_dead() -> None:
        while True:
            if sum(one.poll() is None for one in cluster.workers) < 2:
                await asyncio.to_thread(work, records)
            await asyncio.sleep(0.05)

    replacing = asyncio.ensure_future(replace_the_dead())
    try:
        with pytest.raises(PoisonError) as failure:
            await within(poisonous)
        for handler in healthy:
            await within(handler)
            assert await handler == [0, 1, 2, 3, 4]
    finally:
        replacing.cancel()
    assert failure.value.step == "drink"
    killed = [line.rsplit(" ", 1)[1] for line in cluster.lines() if line.startswith("drink ")]
    assert [worker.split("-")[-2] for worker in failure.value.workers] == killed
    assert cluster.starts()["drink"] == 3
    assert cluster.client.xlen(cluster.keys.of("dead")) == 1


async def test_what_kills_its_worker_in_one_go_with_what_led_to_it_is_found_by_itself(records: Records) -> None:
    """The step before it is blamed for one death at most, and executed once more."""
    cluster = records.cluster
    work(records, concurrency=1)
    flow = Quick(broker=cluster.settings)
    for _ in range(6):
        assert await within(flow.run(count=1, pause_s=0.0, ledger=str(cluster.ledger))) is not None
    poisonous = flow.run(count=0, pause_s=0.0, ledger=str(cluster.ledger))

    async def replace_the_dead() -> None:
        while True:
            if all(one.poll() is not None for one in cluster.workers):
                await asyncio.to_thread(work, records, 1)
            await asyncio.sleep(0.05)

    replacing = asyncio.ensure_future(replace_the_dead())
    try:
        with pytest.raises(PoisonError) as failure:
            await within(poisonous)
    finally:
        replacing.cancel()
    assert failure.value.step == "sip"
    starts = [line.rsplit(" ", 1)[0] for line in cluster.lines()]
    assert (starts.count("pour 0"), starts.count("sip 0")) in ((2, 4), (1, 3))


async def test_a_worker_told_to_go_finishes_what_is_short_and_hands_back_what_is_long(records: Records) -> None:
    cluster = records.cluster
    going = work(records)
    flow = Pair(broker=cluster.settings)
    short = flow.run(count=0, pause_s=1.0, ledger=str(cluster.ledger))
    await meanwhile(lambda: cluster.held_by(going) == 1, "the short one's lease")
    going.terminate()
    await asyncio.to_thread(work, records)
    await within(short)
    assert await short == going.pid, "it was finished by the worker that was told to go"
    assert await asyncio.to_thread(going.wait, 30) == 0
    assert cluster.starts()["first"] == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("runs", [4, pytest.param(100, marks=pytest.mark.nightly)])
async def test_edits_of_shared_state_are_exact_though_workers_die(records: Records, runs: int) -> None:
    cluster = records.cluster
    chance = random.Random(3)
    for _ in range(3):
        work(records, concurrency=8)
    flow = Editing(timeout=500, broker=cluster.settings)
    handlers = [flow.run(count=50, pause_s=0.05, ledger=str(cluster.ledger)) for _ in range(runs)]
    for _ in range(3):
        await asyncio.sleep(chance.uniform(0.2, 0.5))
        chance.choice([one for one in cluster.workers if one.poll() is None]).kill()
        await asyncio.to_thread(work, records)
    for handler in handlers:
        await within(handler, 500)
        assert await handler == [50, 50]


async def test_failures_are_handled_once_each_though_the_worker_that_handles_them_dies(records: Records) -> None:
    cluster = records.cluster
    workers = [work(records), work(records)]
    handler = Handled(broker=cluster.settings).run(count=40, pause_s=0.1, ledger=str(cluster.ledger))
    handling: list[Child] = []

    def are_at_work() -> bool:
        """A run's failures are handled one after the other, so that only one of the workers holds anything."""
        handling[:] = [one for one in workers if cluster.held_by(one)]
        return bool(handling) and sum(line.startswith("rescue") for line in cluster.lines()) > 10

    await meanwhile(are_at_work, "handlers at work")
    handling[0].kill()
    await within(handler)
    assert await handler == list(range(40))
    rescues = sum(count for what, count in cluster.starts().items() if what.startswith("rescue"))
    assert 40 <= rescues <= 41, "no more was handled again than the killed worker held"
    await meanwhile(lambda: not cluster.left(), "an empty namespace")


async def test_sixty_parallel_steps_of_one_run_land_on_three_workers(records: Records) -> None:
    cluster = records.cluster
    pids = {work(records, concurrency=64).pid for _ in range(3)}
    began = time.monotonic()
    await within(Fan(broker=cluster.settings).run(count=60, pause_s=0.3, ledger=str(cluster.ledger)))
    assert {int(line.rsplit(" ", 1)[1]) for line in cluster.lines()} == pids
    assert time.monotonic() - began < 30
