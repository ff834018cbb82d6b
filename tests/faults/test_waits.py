"""People are asked, and everything dies: each question is asked once, each answer used once, nothing done twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from broker_wf.handler import WorkflowHandler
from tests.apps.asking import Asked, Opinion, Survey
from tests.faults.cluster import Cluster, until
from tests.faults.proxy import LosingLink
from tests.faults.records import Records

COUNT = 12
SERVES = "asking"


class Poll:
    """One run of the survey, and what must be true of it at its end."""

    def __init__(self, cluster: Cluster, url: str | None = None, timeout_s: float | None = None) -> None:
        self.cluster = cluster
        self.settings = replace(cluster.settings, url=url or cluster.settings.url)
        self.timeout_s = timeout_s
        self.run = self.begin()

    def begin(self) -> WorkflowHandler:
        flow = Survey(timeout=120, broker=self.settings)
        return flow.run(count=COUNT, ledger=str(self.cluster.ledger), timeout=self.timeout_s)

    def another_driver(self) -> None:
        """The answers come from somebody who knows the run by its id."""
        self.run = Survey(timeout=120, broker=self.settings).attach(self.run.run_id)

    async def everybody_waits(self) -> None:
        key = self.cluster.keys.of("waiting", self.run.run_id)
        await meanwhile(lambda: self.cluster.client.hlen(key) == COUNT, "all to wait")

    async def questions(self, count: int) -> None:
        """Until so many questions have been asked of everybody."""
        feed = self.cluster.keys.of("feed", self.run.run_id)
        await meanwhile(lambda: self.cluster.client.xlen(feed) == count * COUNT, "the questions")
        await self.everybody_waits()

    async def answer(self, question: int, numbers: range | list[int] = range(COUNT)) -> None:
        for number in numbers:
            await self.run.send_event(Opinion(number=number, text=f"{question}:{number}"))

    async def is_right(self) -> None:
        result = (await asyncio.wait_for(self.run.stop_event_result(), 90)).result
        assert result == [[n, f"0:{n}", f"1:{n}"] for n in range(COUNT)]
        asked = [(one.number, one.question) async for one in self.run.stream_events() if isinstance(one, Asked)]
        assert Counter(asked) == {(n, question): 1 for n in range(COUNT) for question in range(2)}
        prepared = {f"prepared {n}": 1 for n in range(COUNT)}
        heard = {f"heard {n} {question}:{n}": 1 for n in range(COUNT) for question in range(2)}
        assert self.cluster.starts() == {**prepared, **heard}
        await meanwhile(lambda: not self.cluster.left(), "an empty namespace")


async def meanwhile(predicate: Callable[[], object], what: str) -> None:
    """Wait for a predicate without holding the event loop up."""
    await asyncio.to_thread(until, predicate, what)


def kill_all(cluster: Cluster) -> None:
    for process in cluster.workers:
        process.kill()
        process.wait()


async def test_all_workers_are_killed_while_everybody_waits(records: Records) -> None:
    cluster = records.cluster
    for _ in range(2):
        records.fork(serves=SERVES)
    poll = Poll(cluster)
    await poll.questions(1)
    kill_all(cluster)
    await poll.answer(0, range(COUNT // 2))
    records.fork(serves=SERVES)
    await poll.answer(0, range(COUNT // 2, COUNT))
    await poll.questions(2)
    await poll.answer(1)
    await poll.is_right()


async def test_the_server_and_all_workers_are_restarted_while_everybody_waits(records: Records) -> None:
    cluster = records.cluster
    records.fork(serves=SERVES)
    poll = Poll(cluster)
    await poll.questions(1)
    await asyncio.sleep(1.2)  # The log is written to the disk each second.
    kill_all(cluster)
    await asyncio.to_thread(cluster.restart_server, 0.2)
    for _ in range(2):
        records.fork(serves=SERVES)
    poll.another_driver()
    await poll.answer(0)
    await poll.questions(2)
    await asyncio.sleep(1.2)
    await asyncio.to_thread(cluster.restart_server, 0.2)
    await poll.answer(1)
    await poll.is_right()


@pytest.mark.parametrize("seed", [1, 2])
async def test_workers_are_killed_between_the_answers(records: Records, seed: int) -> None:
    cluster = records.cluster
    chance = random.Random(seed)
    for _ in range(2):
        records.fork(serves=SERVES)
    poll = Poll(cluster)
    await poll.questions(1)
    for question in range(2):
        order = list(range(COUNT))
        chance.shuffle(order)
        for start in range(0, COUNT, 4):
            chance.choice([one for one in cluster.workers if one.poll() is None]).kill()
            await poll.answer(question, order[start : start + 4])
            await asyncio.to_thread(records.fork, serves=SERVES)
            await meanwhile(lambda: not held(cluster), "the answers to be used")
        if question == 0:
            await poll.questions(2)
    await poll.is_right()


def held(cluster: Cluster) -> int:
    """Deliveries that are somewhere on their way."""
    return sum(cluster.client.hlen(key) for key in cluster.client.scan_iter(match=cluster.keys.of("live", "*")))


@pytest.fixture(params=[1, 2])
def losing(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[LosingLink]:
    assert cluster.settings.url is not None
    link = LosingLink(cluster.settings.url, cluster.directory, seed=request.param)
    link.begin()
    yield link
    link.end()


async def test_replies_are_lost_while_people_are_asked(records: Records, losing: LosingLink) -> None:
    cluster = records.cluster
    for _ in range(2):
        records.fork(serves=SERVES, url=losing.url)
    losing.share = 0.05
    poll = Poll(cluster, url=losing.url)
    for question in range(2):
        await poll.questions(question + 1)
        await poll.answer(question)
    await asyncio.wait_for(poll.run.stop_event_result(), 90)
    losing.share = 0.0
    assert losing.lost > 5, "the link has lost too little to show anything"
    await poll.is_right()


async def test_a_time_out_survives_the_restart_of_everything(records: Records) -> None:
    cluster = records.cluster
    records.fork(serves=SERVES)
    poll = Poll(cluster, timeout_s=3.0)
    await poll.questions(1)
    await asyncio.sleep(1.2)
    kill_all(cluster)
    await asyncio.to_thread(cluster.restart_server, 2.5)
    records.fork(serves=SERVES)
    with pytest.raises(asyncio.TimeoutError, match=r"Timed out waiting for Opinion: none came within 3\.0 s"):
        await asyncio.wait_for(poll.run, 30)
