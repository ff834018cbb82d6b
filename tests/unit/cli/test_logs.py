from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator

import pytest

from broker_wf.cli.logs import set_up_logs

Written = Callable[[], str]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """What has come to stderr; the logs of the tests themselves are as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def test_an_event_is_one_line_with_time_level_process_and_message(written: Written) -> None:
    set_up_logs("INFO", "plain")
    logging.getLogger("some.logger").info("step %s of run %s", "a", "r1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z INFO +\d+ some\.logger: step a of run r1\n", written())


def test_what_is_below_the_level_is_not_written(written: Written) -> None:
    set_up_logs("WARNING", "plain")
    logging.getLogger("some.logger").info("quiet")
    assert written() == ""


def test_lines_of_one_message_stay_together(written: Written) -> None:
    set_up_logs("INFO", "plain")
    logging.getLogger("l").info("one\ntwo")
    assert written().endswith("l: one\n    two\n")


def test_json_logs_are_one_object_a_line(written: Written) -> None:
    set_up_logs("INFO", "json")
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("l").exception("failed\nbadly")
    text = written()
    line = json.loads(text)
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "l", "failed\nbadly")
    assert "ValueError: bad" in line["traceback"]
    assert text.count("\n") == 1


def test_warnings_are_logged(written: Written) -> None:
    set_up_logs("INFO", "plain")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", stacklevel=1)
    assert "UserWarning: old" in written()
