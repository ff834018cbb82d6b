"""The refine application: how much better its answers become, and that no death of a worker shows in them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import redis

from apps.refine.app import RefineFlow
from apps.refine.criteria import claims
from apps.refine.events import RefineStart, RoundScored
from broker_wf import run_many
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.apps.labelled import QUESTIONS
from tests.integration.console import ROOT, Console, Ended, until
from tests.integration.key_audit import problems
from tests.integration.stage import Stage, within

SEVERAL_ROUNDS = "How do I compute the median of a list of numbers?"
DRIVER = ROOT / "workers" / "apps" / "refine" / "driver.py"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Indexes of this module's tests only."""
    folder = tmp_path_factory.mktemp("index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APP_CACHE", str(folder))
        patch.delenv("APP_LLM_URL", raising=False)
        yield folder


@pytest.fixture
def console(server_url: str, namespace: str, tmp_path: Path) -> Iterator[Console]:
    made = Console(server_url, namespace, tmp_path / "data")
    try:
        yield made
    finally:
        made.close()
    with redis.Redis.from_url(server_url) as client:
        assert problems(client, namespace) == []


def worker(console: Console) -> subprocess.Popen[str]:
    return console.worker("apps.refine.app:workflow", PYTHONPATH=str(ROOT / "workers"))


def driver(console: Console, *arguments: str, **variables: str) -> Ended:
    ended = subprocess.run(
        [sys.executable, str(DRIVER), *arguments],
        env=console.environment(**variables),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def without_places(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "where"}


async def undisturbed(question: str, namespace: str) -> dict[str, Any]:
    """What the run gives in one process that nobody interferes with."""
    settings = Settings.load(namespace=f"{namespace}-undisturbed")
    answer = await within(RefineFlow(broker=settings).run(start_event=RefineStart(question=question)), 60)
    return without_places(answer)


def right(answer: dict[str, Any], lines: str, module: str) -> float:
    """The share of claims that are quoted from a module."""
    sources = [answer["passages"].get(str(claim.passage), {}).get("source") for claim in claims(lines)]
    return mean(source == module for source in sources) if sources else 0.0


async def test_refinement_raises_the_score_and_quotes_the_right_module_more_often(alone: Stage) -> None:
    starts = [RefineStart(question=question) for question in QUESTIONS]
    flow = alone.flow(RefineFlow)
    answers = [each.result async for each in run_many(flow, starts, in_flight=4, ordered=True)]
    scores = [(each["rounds"][0]["score"]["total"], each["score"]["total"]) for each in answers]
    assert all(refined >= first for first, refined in scores)
    assert mean(first for first, _ in scores) == pytest.approx(0.87, abs=0.02)
    assert mean(refined for _, refined in scores) == pytest.approx(0.96, abs=0.02)
    labelled = list(zip(answers, QUESTIONS.values(), strict=True))
    assert mean(right(each, each["rounds"][0]["answer"], module) for each, module in labelled) < 0.55
    assert mean(right(each, each["answer"], module) for each, module in labelled) > 0.65


async def test_the_loop_ends_when_the_answer_is_good_or_its_rounds_are_over(stage: Stage) -> None:
    flow = await stage.put_on(RefineFlow)
    easy = await within(flow.run(start_event=RefineStart(question=SEVERAL_ROUNDS, good=0.1)), 60)
    hard = await within(flow.run(start_event=RefineStart(question=SEVERAL_ROUNDS, good=1.0, rounds=2)), 60)
    assert (easy["ended"], len(easy["rounds"])) == ("good", 1)
    assert (hard["ended"], len(hard["rounds"])) == ("rounds", 2)
    assert hard["score"]["total"] == max(each["score"]["total"] for each in hard["rounds"])


async def test_rounds_and_their_scores_are_seen_as_they_end(stage: Stage) -> None:
    flow = await stage.put_on(RefineFlow)
    handler = flow.run(start_event=RefineStart(question=SEVERAL_ROUNDS, good=1.0, rounds=3))
    scored = [event async for event in handler.stream_events() if isinstance(event, RoundScored)]
    answer = await within(handler)
    assert [(event.round, event.total) for event in scored] == [
        (number, each["score"]["total"]) for number, each in enumerate(answer["rounds"], start=1)
    ]


async def test_a_worker_killed_between_rounds_changes_nothing_in_the_answer(console: Console, namespace: str) -> None:
    workers = {one.pid: one for one in [await asyncio.to_thread(worker, console) for _ in range(2)]}
    settings = Settings.load(url=console.url, namespace=namespace)
    handler = RefineFlow(broker=settings).run(start_event=RefineStart(question=SEVERAL_ROUNDS))
    killed: list[int] = []
    async for event in handler.stream_events():
        if isinstance(event, RoundScored) and not killed:
            killed = [int(event.worker.rpartition(":")[2])]
            os.kill(killed[0], signal.SIGKILL)
    answer = await within(handler, 60)
    assert workers[killed[0]].wait(10) == -signal.SIGKILL
    assert len(answer["rounds"]) > 1
    assert without_places(answer) == await undisturbed(SEVERAL_ROUNDS, namespace)
    await close_homes()
    await asyncio.to_thread(until, lambda: console.known_workers() == 1)


def test_the_driver_asks_two_worker_processes_and_tells_which_did_what(console: Console) -> None:
    pids = {worker(console).pid for _ in range(2)}
    ended = driver(console, SEVERAL_ROUNDS)
    assert ended.code == 0, ended.err
    assert "statistics.median" in ended.out
    assert "round 1: score" in ended.err
    assert all(f":{pid} " in ended.out for pid in pids)


def test_the_driver_answers_a_file_of_questions_in_its_own_process(console: Console, tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("How do I wrap text to a width?\n\nHow do I parse JSON from a string?\n")
    ended = driver(console, "--file", str(tmp_path / "questions.txt"), "--json", BROKER_WF_URL="")
    assert ended.code == 0, ended.err
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert {answer["ended"] for answer in answers} <= {"good", "rounds", "nothing new"}
    assert len(answers) == 2
    assert len({worker for answer in answers for worker in answer["where"]}) == 1


def test_the_driver_tells_which_question_failed_and_why(console: Console, tmp_path: Path) -> None:
    ended = driver(console, "--corpus", str(tmp_path / "gone"), "anything", BROKER_WF_URL="")
    assert ended.code == 2
    (tmp_path / "empty").mkdir()
    ended = driver(console, "--corpus", str(tmp_path / "empty"), "anything", BROKER_WF_URL="")
    assert (ended.code, "FAILED" in ended.out) == (1, True), ended
