"""``runs rerun`` and ``dlq``, as a person uses them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from broker_wf.broker.keys import Keys
from broker_wf.broker.packing import pack
from tests.integration.console import Console, lines, until
from tests.integration.key_audit import problems

APP = "tests.apps.mended"
ONE_LIFE = {"BROKER_WF_MAX_CRASHES": "1", "BROKER_WF_LEASE_MS": "1000"}


@pytest.fixture
def console(server_url: str, namespace: str, tmp_path: Path) -> Iterator[Console]:
    made = Console(server_url, namespace, tmp_path / "data")
    try:
        yield made
    finally:
        made.close()


def audit(console: Console) -> None:
    with redis.Redis.from_url(console.url) as client:
        assert problems(client, console.namespace) == []


def mend(folder: Path) -> None:
    (folder / "mended").touch()


def notes(folder: Path) -> list[str]:
    return lines(folder / "notes")


def test_failed_runs_are_done_again_one_by_one_and_many_after_a_look(console: Console, tmp_path: Path) -> None:
    worker = console.worker(f"{APP}:fragile")
    for name in ("a", "b", "c"):
        assert console.run("run", f"{APP}:fragile", f"folder={tmp_path}", "--run-id", name).code == 1
    shown = console.run("runs", "show", "a").out
    assert "left      second" in shown
    mend(tmp_path)
    again = console.run("runs", "rerun", "a", "--from-step", "second", "--run-id", "a2")
    assert (again.code, again.out) == (0, "a -> a2\n")
    assert console.run("runs", "rerun", "a", "--from-step", "second", "--run-id", "a2").out == "a -> a2\n"
    until(lambda: console.status_of("a2") == "completed")
    assert notes(tmp_path) == ["first"] * 3 + ["second"]
    assert console.run("runs", "show", "a2", "--json").json["rerun_of"] == "a"
    finished = console.run("runs", "rerun", "a", "--from-step", "first", "--run-id", "a3")
    assert finished.out == "a -> a3\n"
    until(lambda: console.status_of("a3") == "completed")
    assert notes(tmp_path) == ["first"] * 3 + ["second", "first", "second"]
    assert console.run("runs", "rerun", "a3", "--from-step", "second", "--run-id", "a4").out == "a3 -> a4\n"
    until(lambda: console.status_of("a4") == "completed")
    assert notes(tmp_path) == ["first"] * 3 + ["second", "first", "second", "second"]
    refused = console.run("runs", "rerun", "a", "--from-step", "third")
    assert refused.code == 6
    assert "step 'third' has executed nothing in it; first have" in refused.err
    told = console.run("runs", "rerun", "--status", "failed")
    assert sorted(told.out.splitlines()) == ["b", "c"]
    assert "with --yes it is done" in told.err
    done = console.run("runs", "rerun", "--status", "failed", "--yes", "--json").json
    assert sorted(one["id"] for one in done) == ["b", "c"]
    for one in done:
        until(lambda one=one: console.status_of(one["run_id"]) == "completed")
    assert console.run("runs", "rerun", "--status", "failed", "--yes").out == ""
    whole = console.run("runs", "rerun", "a2").out.split(" -> ")[1].strip()
    until(lambda: console.status_of(whole) == "completed")
    assert sorted(notes(tmp_path)) == ["first"] * 7 + ["second"] * 6
    assert console.run("runs", "rerun", "nobody").code == 5
    assert console.run("runs", "rerun", "--from-step", "second").code == 2
    console.end(worker, signal.SIGTERM)
    audit(console)


def test_a_dead_letter_is_retried_once_however_often_that_is_asked_for(console: Console, tmp_path: Path) -> None:
    worker = console.worker(f"{APP}:deadly", "--processes", "2", count=2, **ONE_LIFE)
    console.run("run", f"{APP}:deadly", f"folder={tmp_path}", "--run-id", "dead", "--detach")
    until(lambda: console.status_of("dead") == "failed")
    (letter,) = console.run("dlq", "ls", "--step", "second", "--json").json
    assert (letter["kind"], letter["run_id"], letter["step"]) == ("poison", "dead", "second")
    assert letter["id"] in console.run("dlq", "ls").out
    assert console.run("dlq", "show", letter["id"]).json["facts"]["payload"]
    assert console.run("dlq", "ls", "--kind", "undecodable").out.count("\n") <= 1
    told = console.run("dlq", "retry", "--workflow", "tests.apps.mended.Deadly")
    assert told.out == f"{letter['id']}\n"
    assert console.status_of("dead") == "failed"
    mend(tmp_path)
    with ThreadPoolExecutor(3) as presses:
        ended = list(presses.map(lambda _: console.run("dlq", "retry", letter["id"]), range(3)))
    assert 0 in {one.code for one in ended}
    (made,) = {one.out for one in ended if one.code == 0}
    new = made.split(" -> ")[1].strip()
    until(lambda: console.status_of(new) == "completed")
    assert notes(tmp_path) == ["first", "second"]
    assert console.run("dlq", "ls", "--json").json == []
    late = console.run("dlq", "retry", letter["id"])
    assert (late.code, "retried before" in late.err) == (6, True)
    assert console.run("dlq", "show", letter["id"]).code == 5
    runs = [one["run_id"] for one in console.run("runs", "ls", "--json").json]
    assert sorted(runs) == sorted(["dead", new])
    console.end(worker, signal.SIGTERM)


def test_letters_that_cannot_be_retried_say_why_and_are_dropped_after_a_look(console: Console) -> None:
    with redis.Redis.from_url(console.url) as client:
        dead = Keys(console.namespace).of("dead")
        for letter in (
            {"kind": "malformed", "stream": "work"},
            {"kind": "poison", "run": "gone", "delivery": "0@s", "step": "s", "workflow": "w"},
        ):
            client.xadd(dead, {"letter": pack(letter)})
    assert [one["kind"] for one in console.run("dlq", "ls", "--kind", "poison", "--json").json] == ["poison"]
    refused = console.run("dlq", "retry", "--yes")
    assert refused.code == 6
    assert "it is about no delivery of a run" in refused.err
    assert "its run is kept no longer" in refused.err
    assert console.run("dlq", "retry", "all").code == 6
    assert console.run("dlq", "drop", "all").code == 2
    assert len(console.run("dlq", "drop").out.splitlines()) == 2
    assert len(console.run("dlq", "ls", "--json").json) == 2
    assert "1 dropped" in console.run("dlq", "drop", "--kind", "poison", "--yes").err
    assert [one["kind"] for one in console.run("dlq", "ls", "--json").json] == ["malformed"]
