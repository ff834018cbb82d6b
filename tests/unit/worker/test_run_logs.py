"""Lines on their way to a server: gathered, bounded, sent in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import cast

from broker_wf.broker.logs import LogStore
from broker_wf.broker.packing import unpack_text
from broker_wf.core.ids import RunId, WorkerId
from broker_wf.errors import BackpressureError
from broker_wf.worker.log_fields import LogFields
from broker_wf.worker.run_logs import RunLogs


@dataclass
class Sends:
    """A server that answers when it is told to."""

    sent: list[tuple[str, int, list[str]]] = field(default_factory=list[tuple[str, int, list[str]]])
    replies: list[asyncio.Future[object]] = field(default_factory=list["asyncio.Future[object]"])

    def add(self, run_id: RunId, worker: WorkerId, number: int, most: int, lines: Sequence[bytes]) -> Awaitable[object]:
        self.sent.append((run_id, number, [cast(str, unpack_text(one)["text"]) for one in lines]))
        self.replies.append(asyncio.get_running_loop().create_future())
        return self.replies[-1]


def logs(store: Sends, most: int = 10) -> RunLogs:
    return RunLogs(store=cast(LogStore, store), worker=WorkerId("w"), most=most)


def say(taker: RunLogs, text: str, run_id: str = "r", logger: str = "x") -> None:
    record = logging.LogRecord(logger, logging.INFO, "", 1, text, (), None)
    taker.take(record, LogFields(run_id=run_id, step="s", attempt=1, worker="w"))


async def test_the_last_lines_of_each_run_are_sent_with_growing_numbers() -> None:
    store = Sends()
    taker = logs(store, most=2)
    for n in range(5):
        say(taker, str(n))
    say(taker, "other", run_id="q")
    taker.flush()
    say(taker, "later")
    taker.flush()
    taker.flush()
    assert store.sent == [("r", 1, ["3", "4"]), ("q", 2, ["other"]), ("r", 3, ["later"])]


async def test_loggers_of_the_engine_that_speak_of_no_run_are_left_out() -> None:
    store = Sends()
    taker = logs(store)
    for name in ("broker_wf.connection", "broker_wf.step", "broker_wfx"):
        say(taker, name, logger=name)
    taker.flush()
    assert store.sent == [("r", 1, ["broker_wf.step", "broker_wfx"])]


async def test_what_a_server_does_not_take_is_bounded_and_given_up_without_a_word() -> None:
    store = Sends()
    taker = logs(store, most=3_000)
    for _ in range(3):
        for _ in range(3_000):
            say(taker, "x" * 4_000)
        taker.flush()
    held = sum(len(lines) for _, _, lines in store.sent)
    assert 3_500 < held < 5_000
    for reply in store.replies:
        reply.set_exception(BackpressureError("full"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    say(taker, "again")
    taker.flush()
    assert store.sent[-1][2] == ["again"]
    store.replies[-1].cancel()
    await asyncio.sleep(0)
