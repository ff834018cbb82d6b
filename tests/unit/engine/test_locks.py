from __future__ import annotations

from broker_wf.core.ids import RunId
from broker_wf.engine.locks import LockLines

RUN = RunId("r")


async def test_one_that_is_about_to_go_on_does_not_go_ahead_nor_leave() -> None:
    lines = LockLines()
    assert lines.enter(RUN, {}) is None
    waiter = lines.enter(RUN, {})
    assert waiter is not None
    assert lines.first(RUN) is waiter
    lines.go_ahead(RUN, waiter)
    assert not lines.leave(RUN, waiter)
    assert not waiter.turn.done()
    lines.pass_on(RUN, waiter, {"k": b"v"})
    assert waiter.turn.result() == {"k": b"v"}
    lines.pass_on(RUN, None, None)
    assert lines == LockLines()
    lines.go_ahead(RUN, waiter)


async def test_one_that_went_ahead_is_active_beside_the_other() -> None:
    lines = LockLines()
    lines.enter(RUN, {})
    waiter = lines.enter(RUN, {})
    assert waiter is not None
    lines.go_ahead(RUN, waiter)
    assert waiter.turn.result() is None
    lines.pass_on(RUN, None, None)
    assert lines.enter(RUN, {}) is not None
    assert lines != LockLines()
