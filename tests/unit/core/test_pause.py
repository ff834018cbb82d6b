from __future__ import annotations

import asyncio
import builtins
from typing import Any

import pytest

from broker_wf.core.pause import WaitingForEvent, is_pause

GROUP: Any = getattr(builtins, "BaseExceptionGroup", None)


def test_a_pause_says_what_is_waited_for() -> None:
    assert str(WaitingForEvent("Reply")) == "Waiting for event Reply"


def test_a_pause_passes_except_exception() -> None:
    assert not issubclass(WaitingForEvent, Exception)


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), asyncio.CancelledError()])
def test_nothing_else_is_a_pause(error: BaseException) -> None:
    assert not is_pause(error)


@pytest.mark.skipif(GROUP is None, reason="Python has no groups of exceptions yet")
def test_a_group_of_nothing_but_pauses_is_one_as_a_task_group_raises_it() -> None:
    assert is_pause(GROUP("two", [WaitingForEvent("a"), GROUP("one", [WaitingForEvent("b")])]))
    assert not is_pause(GROUP("two", [WaitingForEvent("a"), ValueError()]))
