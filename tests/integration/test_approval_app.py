"""The approval application: asked in one process, answered in another, with nobody alive in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from apps.approval import app
from apps.approval.app import ApprovalFlow
from apps.approval.events import Answer, ApprovalStart, Question
from apps.approval.piece import Piece, publish
from broker_wf.handler import WorkflowHandler
from tests.integration.console import ROOT, Console, Ended, until
from tests.integration.key_audit import problems
from tests.integration.stage import Stage, within

DRIVER = ROOT / "workers" / "apps" / "approval" / "driver.py"


def start(folder: Path, **more: Any) -> ApprovalStart:
    return ApprovalStart(
        title="New hours", points=["We open at nine.", "Closed on Sundays."], folder=str(folder), **more
    )


async def next_question(handler: WorkflowHandler) -> Question:
    async for event in handler.stream_events():
        if isinstance(event, Question):
            return event
    raise AssertionError("the run ended without another question")


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
    return console.start("worker", "apps.approval.app:workflow", PYTHONPATH=str(ROOT / "workers"))


def driver(console: Console, *arguments: str) -> Ended:
    ended = subprocess.run(
        [sys.executable, str(DRIVER), *arguments],
        env=console.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def pending(console: Console) -> list[dict[str, Any]]:
    ended = driver(console, "pending", "--json")
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


async def test_a_text_is_revised_until_it_is_approved_and_then_published(stage: Stage, tmp_path: Path) -> None:
    handler = (await stage.put_on(ApprovalFlow, timeout=None)).run(start_event=start(tmp_path))
    first = await within(next_question(handler))
    assert (first.version, first.text) == (1, "# New hours\n\nWe open at nine.\n\nClosed on Sundays.\n")
    await handler.send_event(Answer(version=1, approve=False, comment="drop: 2\nCould it be friendlier?"))
    second = await within(next_question(handler))
    assert (second.version, second.remarks) == (2, ["Could it be friendlier?"])
    await handler.send_event(Answer(version=2, approve=False, comment="add: You are welcome."))
    third = await within(next_question(handler))
    await handler.send_event(Answer(version=3, approve=True, by="ann"))
    result = await within(handler)
    assert {**result, "path": ""} == {"status": "published", "version": 3, "path": "", "by": "ann"}
    assert Path(result["path"]).read_text() == third.text == "# New hours\n\nWe open at nine.\n\nYou are welcome.\n"


async def test_an_answer_to_a_version_that_is_no_longer_asked_for_changes_nothing(stage: Stage, tmp_path: Path) -> None:
    handler = (await stage.put_on(ApprovalFlow, timeout=None)).run(start_event=start(tmp_path))
    await within(next_question(handler))
    await handler.send_event(Answer(version=1, approve=False, comment="drop: 2"))
    await within(next_question(handler))
    await handler.send_event(Answer(version=1, approve=True, by="too late"))
    await handler.send_event(Answer(version=2, approve=True, by="ann"))
    assert (await within(handler))["by"] == "ann"


async def test_a_text_that_nobody_answers_for_in_time_is_not_published(stage: Stage, tmp_path: Path) -> None:
    flow = await stage.put_on(ApprovalFlow, timeout=None)
    result = await within(flow.run(start_event=start(tmp_path / "out", patience_s=0.3)))
    assert result == {"status": "unanswered", "version": 1}
    assert not (tmp_path / "out").exists()


async def test_a_publication_whose_step_fails_after_writing_is_not_repeated(
    alone: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[bool] = []

    def fails_once(piece: Piece, folder: Path, key: str) -> tuple[Path, bool]:
        path, wrote = publish(piece, folder, key)
        tries.append(wrote)
        if len(tries) == 1:
            raise OSError("the disk went away after it had written")
        return path, wrote

    monkeypatch.setattr(app, "publish", fails_once)
    handler = alone.flow(ApprovalFlow, timeout=None).run(start_event=start(tmp_path))
    await within(next_question(handler))
    await handler.send_event(Answer(version=1, approve=True))
    result = await within(handler)
    assert tries == [True, False]
    assert [str(path) for path in tmp_path.iterdir()] == [result["path"]]


def test_a_question_outlives_all_workers_and_is_answered_from_another_process(console: Console, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    first = worker(console)
    submitted = driver(console, "submit", "New hours", "We open at nine.", "--folder", str(folder))
    run_id = submitted.out.strip()
    assert submitted.code == 0, submitted.err
    until(lambda: len(pending(console)) == 1)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert [(one["run_id"], one["version"]) for one in pending(console)] == [(run_id, 1)]
    said = driver(console, "answer", run_id, "--comment", "1: We open at ten.")
    assert (said.code, said.out) == (0, "version 1 is to be revised\n"), said.err
    second = worker(console)
    until(lambda: [one["version"] for one in pending(console)] == [2])
    assert pending(console)[0]["text"] == "# New hours\n\nWe open at ten.\n"
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    assert driver(console, "answer", run_id, "--approve", "--by", "ann").code == 0
    worker(console)
    watched = driver(console, "watch", run_id)
    assert watched.code == 0, watched.err
    assert "version 1 waits for an answer" in watched.out
    result = json.loads(watched.out.splitlines()[-1])
    assert (result["status"], result["version"], result["by"]) == ("published", 2, "ann")
    assert [path.read_text() for path in folder.iterdir()] == ["# New hours\n\nWe open at ten.\n"]
    assert pending(console) == []
    until(lambda: console.known_workers() == 1)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_in_the_step_that_publishes_leaves_one_file(
    console: Console, tmp_path: Path, moment: str
) -> None:
    folder = tmp_path / "published"
    path = os.pathsep.join([str(ROOT / "workers"), str(ROOT)])
    dying = console.start("worker", "tests.apps.publishing:workflow", PYTHONPATH=path, KILLED=moment)
    run_id = driver(console, "submit", "New hours", "We open at nine.", "--folder", str(folder)).out.strip()
    until(lambda: len(pending(console)) == 1)
    assert driver(console, "answer", run_id, "--approve", "--by", "ann").code == 0
    assert dying.wait(60) == -signal.SIGKILL
    assert len(list(folder.iterdir()) if folder.exists() else []) == (moment == "after")
    worker(console)
    watched = driver(console, "watch", run_id)
    assert watched.code == 0, watched.err
    result = json.loads(watched.out.splitlines()[-1])
    assert (result["status"], result["by"]) == ("published", "ann")
    assert [str(file) for file in folder.iterdir()] == [result["path"]]
    assert Path(result["path"]).read_text() == "# New hours\n\nWe open at nine.\n"
    until(lambda: console.known_workers() == 1)


def test_the_driver_refuses_answers_that_answer_nothing(console: Console, tmp_path: Path) -> None:
    worker(console)
    run_id = driver(console, "submit", "T", "One.", "--folder", str(tmp_path / "out")).out.strip()
    until(lambda: len(pending(console)) == 1)
    both = driver(console, "answer", run_id, "--approve", "--comment", "add: two")
    stale = driver(console, "answer", run_id, "--approve", "--version", "2")
    unknown = driver(console, "answer", "no-such-run", "--approve")
    assert (both.code, "--approve, or a --comment" in both.err) == (2, True)
    assert (stale.code, "version 1 waits for an answer, and not 2" in stale.err) == (1, True)
    assert (unknown.code, "waits for no answer" in unknown.err) == (1, True)
    assert console.run("runs", "cancel", run_id).code == 0
    assert driver(console, "answer", run_id, "--approve").code == 1


def test_what_waits_is_listed_by_the_command_line_too(console: Console, tmp_path: Path) -> None:
    worker(console)
    run_id = driver(console, "submit", "T", "One.", "--folder", str(tmp_path / "out")).out.strip()
    until(lambda: len(pending(console)) == 1)
    (view,) = console.run("runs", "waiting", "--json").json
    assert (view["run_id"], view["step"], view["waiter_id"]) == (run_id, "ask", "version 1")
    assert (view["events"], view["requires"], view["due_at"]) == (["Answer"], ["version"], None)
    assert (view["question_type"], view["question"]["version"]) == ("Question", 1)
    shown = console.run("runs", "waiting").out
    assert "Question" in shown
    assert run_id in shown
    assert console.run("runs", "show", run_id, "--json").json["deliveries"][0]["state"] == "waiting"
    assert console.run("runs", "cancel", run_id).code == 0
    assert console.run("runs", "waiting", "--json").json == []
