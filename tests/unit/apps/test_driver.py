from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
from click.testing import CliRunner

from apps.search import driver
from apps.search.events import Progress, SearchStart
from apps.search.view import Lines, where_table


class FakeFlow:
    """Answers every question but those with "fail" in it; knows how many ran at one time."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0

    def run(self, start_event: SearchStart) -> FakeHandler:
        return FakeHandler(self, start_event.question)


class FakeHandler:
    def __init__(self, flow: FakeFlow, question: str) -> None:
        self._task = asyncio.ensure_future(self._answer(flow, question))

    async def _answer(self, flow: FakeFlow, question: str) -> dict[str, object]:
        flow.running += 1
        flow.most = max(flow.most, flow.running)
        for _ in range(5):
            await asyncio.sleep(0)
        flow.running -= 1
        if "fail" in question:
            raise RuntimeError("no answer")
        return {"question": question, "answer": '"Yes."', "passages": [], "where": {"host:1": {"plan": 1}}}

    async def stream_events(self) -> AsyncIterator[Progress]:
        yield Progress(stage="search", detail="6 queries in 8 shards each", worker="host:1", total=1)
        yield Progress(stage="search", detail="any in shard 0: 3 hits", worker="host:1", done=1)

    def __await__(self) -> Generator[object, None, dict[str, object]]:
        return self._task.__await__()


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> FakeFlow:
    flow = FakeFlow()
    monkeypatch.setattr(driver, "workflow", flow)
    return flow


async def test_no_more_questions_are_in_flight_than_allowed(flow: FakeFlow) -> None:
    starts = [SearchStart(question=f"q{number}") for number in range(40)]
    answers = [answer["question"] async for answer in driver.ask_many(starts, 7, Lines())]
    assert sorted(answers) == sorted(start.question for start in starts)
    assert flow.most == 7


def test_one_question_shows_its_progress_the_answer_and_who_did_what(flow: FakeFlow) -> None:
    shown = CliRunner().invoke(driver.main, ["how?"])
    assert shown.exit_code == 0
    assert '"Yes."' in shown.stdout
    assert "host:1" in shown.stdout
    assert "search: 1 steps done" in shown.stderr


def test_as_json_there_is_a_line_for_each_question_and_nothing_else(flow: FakeFlow, tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("one\n\ntwo fail\n")
    shown = CliRunner().invoke(driver.main, ["--file", str(tmp_path / "questions.txt"), "--json"])
    assert shown.exit_code == 1
    records = sorted((json.loads(line) for line in shown.stdout.splitlines()), key=lambda record: record["question"])
    assert records[0]["answer"] == '"Yes."'
    assert records[1] == {"question": "two fail", "error": "RuntimeError: no answer"}


def test_a_question_and_a_file_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("one\n")
    shown = CliRunner().invoke(driver.main, ["how?", "--file", str(tmp_path / "questions.txt")])
    assert shown.exit_code == 2


def test_the_table_shows_workers_by_steps() -> None:
    table = where_table({"b:2": {"search_shard": 30}, "a:1": {"plan": 1, "search_shard": 18}})
    assert [line.split() for line in table.splitlines()] == [
        ["worker", "plan", "build_shard", "indexed", "search_shard", "fuse", "compose", "all"],
        ["a:1", "1", "0", "0", "18", "0", "0", "19"],
        ["b:2", "0", "0", "0", "30", "0", "0", "30"],
    ]
