from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.integration.console import APP, Console, lines, until
from tests.integration.key_audit import problems
from tests.servers import private_server, server_binary

NOWHERE = "redis://:secret@127.0.0.1:1/0"


@pytest.fixture
def audited(console: Console) -> Iterator[Console]:
    """For tests that leave neither live runs nor killed workers."""
    yield console
    console.close()
    with redis.Redis.from_url(console.url) as client:
        assert problems(client, console.namespace) == []


def test_a_run_that_no_worker_serves_executes_in_the_command_itself(audited: Console) -> None:
    process = audited.start("run", f"{APP}:echo", "word=hi", "count=3")
    ended = audited.end(process)
    assert (ended.code, ended.json) == (0, {"pid": process.pid, "word": "hi", "count": 3})
    first, second = ended.err.splitlines()
    assert first.startswith("run ")
    assert "this process executes it" in second


def test_a_run_that_a_worker_serves_executes_there(audited: Console) -> None:
    worker = audited.worker(f"{APP}:echo")
    ended = audited.run("run", f"{APP}:echo")
    assert ended.json == {"pid": worker.pid}
    assert audited.end(worker, signal.SIGTERM).code == 0


def test_the_start_event_may_be_given_as_json(audited: Console) -> None:
    ended = audited.run("run", f"{APP}:greet", "--json", '{"name": "Ada", "count": 2}')
    assert ended.json == ["hello Ada", "hello Ada"]


def test_fields_that_do_not_fit_are_told_before_anything_runs(audited: Console) -> None:
    ended = audited.run("run", f"{APP}:greet", "count=many")
    assert (ended.code, ended.out) == (2, "")
    assert "name: Field required" in ended.err
    assert "Traceback" not in ended.err


def test_a_run_that_fails_gives_exit_code_1_and_tells_step_and_reason(audited: Console) -> None:
    ended = audited.run("run", f"{APP}:failing")
    assert (ended.code, ended.out) == (1, "")
    assert "why:  step fail, attempt 1: builtins.LookupError: nothing under that name" in ended.err
    assert "Traceback" not in ended.err


def test_the_traceback_comes_with_v(audited: Console) -> None:
    ended = audited.run("run", f"{APP}:failing", "-v")
    assert ended.code == 1
    assert "raise LookupError" in ended.err


def test_a_result_that_is_no_json_is_shown_all_the_same(audited: Console) -> None:
    ended = audited.run("run", f"{APP}:odd")
    assert ended.json == {"at": "2024-02-29T00:00:00Z", "raw": "_w==", "nothing": "nan", "path": "/a"}


def test_the_same_id_attaches_and_another_start_event_under_it_is_a_conflict(audited: Console) -> None:
    first = audited.run("run", f"{APP}:echo", "a=1", "--run-id", "mine")
    again = audited.run("run", f"{APP}:echo", "a=1", "--run-id", "mine")
    other = audited.run("run", f"{APP}:echo", "a=2", "--run-id", "mine")
    assert first.json == again.json
    assert (other.code, other.out) == (6, "")
    assert "another start event" in other.err


def test_a_run_may_be_followed(audited: Console) -> None:
    ended = audited.run("run", f"{APP}:echo", "--follow")
    told = [json.loads(line) for line in ended.err.splitlines() if line.startswith("{")]
    assert [event["type"] for event in told] == ["Said", "StopEvent"]
    assert ended.json.keys() == {"pid"}


def test_waiting_may_end_before_the_run_does(console: Console, tmp_path: Path) -> None:
    console.worker(f"{APP}:slow")
    file = tmp_path / "slow"
    ended = console.run("run", f"{APP}:slow", f"file={file}", "--timeout", "500ms", "--run-id", "long")
    assert ended.code == 7
    assert console.status_of("long") == "running"
    assert console.run("runs", "cancel", "lo", "--json").json == {"run_id": "long", "status": "cancelled"}
    assert console.status_of("long") == "cancelled"
    attached = console.run("run", f"{APP}:slow", f"file={file}", "--run-id", "long")
    assert attached.code == 8
    assert "was cancelled" in attached.err


def test_a_run_has_the_tags_and_the_delay_that_were_given(audited: Console) -> None:
    given = ("--tag", "kunde=Zoë", "--tag", "expr=a=b", "--delay", "1h", "--run-id", "later", "--priority", "low")
    assert audited.run("run", f"{APP}:echo", "--detach", *given).code == 0
    view = audited.run("runs", "show", "later", "--json").json
    assert (view["status"], view["tags"]) == ("queued", {"kunde": "Zoë", "expr": "a=b"})
    shown = audited.run("runs", "show", "later").out
    assert "tags      kunde=Zoë, expr=a=b" in shown
    assert "begins    20" in shown
    assert "priority  low" in shown
    found = audited.run("runs", "ls", "--json", "--tag", "kunde=Zoë", "--tag", "expr=a=b", "--since", "1h").json
    assert [one["run_id"] for one in found] == ["later"]
    assert audited.run("runs", "ls", "--json", "--tag", "kunde=Zoe", "--longer-than", "1s", "--error", "E").json == []
    assert audited.run("runs", "cancel", "later").code == 0


def test_a_detached_run_goes_on_without_the_command(audited: Console) -> None:
    waiting = audited.run("run", f"{APP}:echo", "--detach", "--run-id", "later")
    assert (waiting.code, waiting.json) == (0, {"run_id": "later", "status": "running"})
    assert "broker-wf worker" in waiting.err
    (unserved,) = audited.run("status", "--json").json["unserved"]
    assert (unserved["runs"], unserved["has_workers"], unserved["examples"]) == (1, False, ["later"])
    assert "1 live runs of" in audited.run("status").out
    assert "no live worker serves the workflow" in audited.run("status").out
    worker = audited.worker(f"{APP}:echo")
    assert audited.run("status", "--json").json["unserved"] == []
    assert "UNSERVED" not in audited.run("status").out
    until(lambda: audited.status_of("later") == "completed")
    audited.end(worker, signal.SIGTERM)


def test_ctrl_c_leaves_the_run_alone_and_a_second_one_cancels_it(console: Console, tmp_path: Path) -> None:
    console.worker(f"{APP}:slow")
    for run_id, presses, code, status in (("left", 1, 130, "running"), ("ended", 2, 8, "cancelled")):
        file = tmp_path / run_id
        process = console.start("run", f"{APP}:slow", f"file={file}", "--run-id", run_id)
        until(lambda file=file: bool(lines(file)))
        process.send_signal(signal.SIGINT)
        if presses == 2:
            assert process.stderr is not None
            while "Ctrl-C again" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
        assert console.end(process).code == code
        assert console.status_of(run_id) == status
    console.run("runs", "cancel", "left")


def test_events_are_lines_of_json(audited: Console) -> None:
    audited.run("run", f"{APP}:echo", "--run-id", "told")
    ended = audited.run("runs", "events", "told", "--json")
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert [(one["seq"], one["type"]) for one in told] == [(1, "Said"), (2, "StopEvent")]
    assert told[0]["value"] == {"text": "heard"}
    behind = audited.run("runs", "events", "told", "--after", "1")
    assert behind.out.splitlines() == ended.out.splitlines()[1:]


def test_events_may_be_followed_until_the_run_has_ended(audited: Console) -> None:
    audited.run("run", f"{APP}:echo", "--detach", "--run-id", "told")
    following = audited.start("runs", "events", "told", "-F")
    worker = audited.worker(f"{APP}:echo")
    ended = audited.end(following)
    assert [json.loads(line)["type"] for line in ended.out.splitlines()] == ["Said", "StopEvent"]
    assert ended.code == 0
    audited.end(worker, signal.SIGTERM)


def test_what_a_run_has_logged_is_printed_and_followed(audited: Console) -> None:
    audited.run("run", f"{APP}:echo", "--detach", "--run-id", "told")
    following = audited.start("runs", "logs", "told", "--follow", "--json")
    worker = audited.worker(f"{APP}:echo")
    (line,) = [json.loads(one) for one in audited.end(following).out.splitlines()]
    assert (line["text"], line["level"], line["step"]) == ("heard too", "INFO", "say")
    audited.end(worker, signal.SIGTERM)
    assert "INFO    say: heard too" in audited.run("runs", "logs", "told", "--step", "say").out
    assert audited.run("runs", "logs", "told", "--level", "error").out == ""
    assert audited.run("runs", "logs", "told", "--after", line["cursor"]).out == ""
    assert audited.run("runs", "logs", "told", "--after", "nowhere").code == 2
    assert audited.run("runs", "logs", "nobody").code == 5


def test_what_the_namespace_holds_is_told_as_json_and_for_people(audited: Console) -> None:
    audited.run("run", f"{APP}:failing", "--run-id", "bad")
    audited.run("run", f"{APP}:echo", "--run-id", "good")
    worker = audited.worker(f"{APP}:everything")
    (facts,) = audited.workers()
    assert (facts["pid"], facts["running"]) == (worker.pid, 0)
    assert [one["run_id"] for one in audited.run("runs", "ls", "--json").json] == ["good", "bad"]
    assert [one["run_id"] for one in audited.run("runs", "ls", "--status", "failed", "--json").json] == ["bad"]
    status = audited.run("status", "--json").json
    assert [one["workers"] for one in status["workflows"]] == [1] * 6
    shown = audited.run("runs", "show", "bad")
    assert "LookupError: nothing under that name in step fail" in shown.out
    assert "good" in audited.run("runs", "ls").out
    assert str(worker.pid) in audited.run("workers", "ls").out
    assert "1 alive" in audited.run("status").out
    assert "result    {" in audited.run("runs", "show", "good").out
    audited.end(worker, signal.SIGTERM)


def test_ids_may_be_cut_short_as_long_as_they_fit_one_run(audited: Console) -> None:
    for run_id in ("alpha1", "alpha2", "beta"):
        audited.run("run", f"{APP}:echo", "--run-id", run_id)
    assert audited.run("runs", "show", "b", "--json").json["run_id"] == "beta"
    ambiguous = audited.run("runs", "show", "alpha", "--json")
    assert (ambiguous.code, ambiguous.out) == (2, "")
    assert "alpha1, alpha2" in ambiguous.err
    for verb in (("show",), ("events",), ("cancel",)):
        assert audited.run("runs", *verb, "gamma").code == 5


def test_a_run_that_has_ended_cannot_be_cancelled(audited: Console) -> None:
    audited.run("run", f"{APP}:echo", "--run-id", "over")
    ended = audited.run("runs", "cancel", "over")
    assert (ended.code, ended.out) == (6, "")
    assert "completed" in ended.err


@pytest.mark.parametrize(
    "command",
    [("status",), ("run", f"{APP}:echo"), ("worker", f"{APP}:echo"), ("worker", f"{APP}:echo", "-p", "2"), ("health",)],
)
def test_a_server_that_does_not_answer_is_named_without_its_password(
    console: Console, command: tuple[str, ...]
) -> None:
    ended = console.run(*command, BROKER_WF_URL=NOWHERE, BROKER_WF_CONNECT_TIMEOUT_MS="500")
    assert (ended.code, ended.out) == (4, "")
    assert ended.err.count("redis://:***@127.0.0.1:1/0") == 1
    assert "secret" not in ended.err
    assert "Traceback" not in ended.err


def test_a_wrong_password_is_told(console: Console) -> None:
    with private_server(server_binary("bundled")) as url, redis.Redis.from_url(url) as client:
        client.config_set("requirepass", "right")
        for command in (("status",), ("worker", f"{APP}:echo"), ("run", f"{APP}:echo")):
            ended = console.run(*command, BROKER_WF_URL=url.replace("unix://", "unix://:wrong@"))
            assert ended.code == 4
            assert "password" in ended.err
            assert "wrong" not in ended.err.replace("WRONGPASS", "")
        ended = console.run("health", BROKER_WF_URL=url.replace("unix://", "unix://:right@"))
        assert ended.code == 0


def test_a_server_that_would_lose_work_is_refused(console: Console) -> None:
    with private_server(server_binary("bundled")) as url, redis.Redis.from_url(url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        ended = console.run("worker", f"{APP}:echo", BROKER_WF_URL=url)
        assert ended.code == 4
        assert "mend: Set maxmemory-policy noeviction." in ended.err


def test_without_a_url_the_bundled_server_is_used(console: Console) -> None:
    assert console.run("run", f"{APP}:echo", "--run-id", "here", BROKER_WF_URL="").code == 0
    assert console.run("runs", "show", "here", "--json", BROKER_WF_URL="").json["status"] == "completed"
    assert console.run("health", BROKER_WF_URL="").code == 0


def test_options_may_stand_before_the_verb_and_behind_it(console: Console) -> None:
    before = console.run("--namespace", "a", "status", "--json").json
    behind = console.run("--namespace", "a", "status", "--namespace", "b", "--json").json
    assert (before["namespace"], behind["namespace"]) == ("a", "b")


def test_every_setting_is_told_with_its_source(console: Console) -> None:
    told = console.run("config", "--json", "--url", NOWHERE).json
    assert told["url"] == {"value": "redis://:***@127.0.0.1:1/0", "source": "option"}
    assert told["lease_ms"] == {"value": 3000, "source": "BROKER_WF_LEASE_MS"}
    assert told["concurrency"]["source"] == "default"
    assert "concurrency" in console.run("config").out


def test_config_does_not_show_keys(console: Console) -> None:
    told = console.run("config", BROKER_WF_SIGNING_KEY="a-key-that-is-long-enough")
    assert "a-key" not in told.out
    assert "(hidden)" in told.out


@pytest.mark.parametrize(
    "command",
    [
        ("dance",),
        ("run",),
        ("run", f"{APP}:echo", "novalue"),
        ("run", f"{APP}:everything"),
        ("run", f"{APP}:echo", "--tag", "=b"),
        ("run", f"{APP}:echo", "--delay", "soon"),
        ("runs", "ls", "--status", "odd"),
        ("runs", "ls", "--before", "odd"),
        ("runs", "ls", "--tag", "odd"),
        ("worker", f"{APP}:echo", "--drain-timeout", "soon"),
        ("worker", f"{APP}:echo", "--lease-ms", "1"),
        ("status", "--namespace", "a b"),
        ("health", "--odd"),
    ],
)
def test_a_command_that_is_wrong_gets_exit_code_2_and_says_what_is_right(
    console: Console, command: tuple[str, ...]
) -> None:
    ended = console.run(*command)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Error: ")
    assert "Traceback" not in ended.err


def test_a_setting_in_the_environment_that_is_wrong_is_told(console: Console) -> None:
    ended = console.run("status", BROKER_WF_BLOCK_MS="many")
    assert ended.code == 2
    assert "BROKER_WF_BLOCK_MS" in ended.err


def test_whoever_reads_only_the_first_line_gets_no_complaint(console: Console) -> None:
    for n in range(3):
        console.run("run", f"{APP}:echo", "--run-id", f"run{n}")
    process = console.start("runs", "ls")
    assert process.stdout is not None
    process.stdout.close()
    process.wait(timeout=20)
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_help_names_every_verb_and_the_version_is_told(console: Console) -> None:
    told = console.run("--help").out
    for verb in ("worker", "run", "status", "workers", "runs", "health", "config", "version"):
        assert f"  {verb} " in told
    assert "--worker" in console.run("health", "--help").out
    assert console.run("version").code == 0


def test_without_a_verb_the_help_is_shown(console: Console) -> None:
    for command in ((), ("runs",)):
        ended = console.run(*command)
        assert (ended.code in (0, 2), ended.err.startswith("Error")) == (True, False)
        assert (ended.err + ended.out).startswith("Usage: broker-wf")
