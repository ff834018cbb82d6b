from __future__ import annotations

import pytest

from broker_wf.cli.failures import Failure, failure_of
from broker_wf.errors import (
    BackpressureError,
    BrokerError,
    EncodeError,
    LoadTargetError,
    NoWorkerForStepError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    ServerRefusedError,
    ServerStartError,
    ServerUnreachableError,
    SettingsError,
    WorkflowConflictError,
)

URL = "redis://user:secret@host:1"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("namespace", "a b", "no spaces"), 2),
        (LoadTargetError("a:b", "gone"), 3),
        (ServerUnreachableError(URL, "refused"), 4),
        (ServerRefusedError(URL, "too old", "Upgrade."), 4),
        (ServerStartError("no binary"), 4),
        (RunNotFoundError("r"), 5),
        (RunConflictError("r"), 6),
        (WorkflowConflictError("w", "a:A", "b:B"), 6),
        (RunEndedError("r", "completed"), 6),
        (NoWorkerForStepError("w", "s", "d"), 69),
        (BackpressureError("full"), 1),
        (EncodeError("E", "x", "set", "why"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: BrokerError, code: int) -> None:
    failure = failure_of(error)
    assert failure.code == code
    assert failure.what
    assert "secret" not in failure.text()


def test_a_failure_is_what_why_and_how_to_mend_it() -> None:
    failure = failure_of(ServerRefusedError(URL, "its version is 6.2", "Use 7.0."))
    assert failure.text() == (
        "Error: the Redis server at redis://user:***@host:1 cannot be used\n"
        "  why:  its version is 6.2\n"
        "  mend: Use 7.0."
    )


def test_lines_that_are_not_known_are_left_out() -> None:
    assert Failure(code=1, what="gone").text() == "Error: gone"
    assert Failure(code=1, what="x", why="a\nb").text() == "Error: x\n  why:  a\n        b"
