"""Workflows whose steps hang, each in its own way. Each start is written down in a ledger outside Redis."""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
from pathlib import Path

from broker_wf import Workflow, step
from broker_wf.events import StartEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_none
from tests.apps.faulty import note

AGAIN = retry_policy(wait=wait_none(), stop=stop_after_attempt(2))


class Job(StartEvent):
    ledger: str
    hold_s: float = 0.0


def begun_before(ledger: str, word: str, but: int = 1) -> bool:
    """Whether it was begun, not counting so many starts."""
    with Path(ledger).open() as lines:
        return sum(line.startswith(word) for line in lines) > but


async def hang_once(ledger: str, word: str) -> StopEvent:
    """The first time it takes no notice of its cancellation."""
    note(ledger, word)
    while not begun_before(ledger, word):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            note(ledger, "cancelled")
    return StopEvent(result=os.getpid())


class Alone(Workflow):
    @step(timeout=0.2, retry_policy=AGAIN)
    async def hang(self, ev: Job) -> StopEvent:
        return await hang_once(ev.ledger, "alone")


class Pooled(Workflow):
    @step(timeout=0.2, retry_policy=AGAIN)
    async def hang(self, ev: Job) -> StopEvent:
        return await hang_once(ev.ledger, "pooled")


def catastrophic(seconds: float) -> None:
    """Hold the lock of the interpreter in one call, for so long or twice that: nothing else of this process runs.

    By the CPU time that it takes: on a machine that others use too, a trial that had to wait would make it too short.
    """
    size, took = 12, 0.0
    while took < 0.05:
        size += 1
        began = time.thread_time()
        re.match(r"(a+)+$", "a" * size + "b")
        took = time.thread_time() - began
    re.match(r"(a+)+$", "a" * (size + math.ceil(math.log2(seconds / took))) + "b")


def spin(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


class Holding(Workflow):
    """Steps that hold up the event loop of their worker, two of them nothing but it."""

    how: str = ""

    @step
    async def hold(self, ev: Job) -> StopEvent:
        note(ev.ledger, self.how)
        {"regex": catastrophic, "sleep": time.sleep, "spin": spin}[self.how](ev.hold_s)
        return StopEvent(result=os.getpid())


class Regex(Holding):
    how = "regex"


class Sleep(Holding):
    how = "sleep"


class Spin(Holding):
    how = "spin"


def hang(ledger: str, word: str) -> None:
    """Never give the lock of the interpreter back."""
    note(ledger, word)
    re.match(r"(a+)+$", "a" * 80 + "b")  # takes longer than anybody lives


class HangsOnce(Workflow):
    @step
    async def hang(self, ev: Job) -> StopEvent:
        if not Path(ev.ledger).exists() or not begun_before(ev.ledger, "once", 0):
            hang(ev.ledger, "once")
        return StopEvent(result=os.getpid())


class HangsAlways(Workflow):
    @step
    async def hang(self, ev: Job) -> StopEvent:
        hang(ev.ledger, "always")
        return StopEvent()


hanging = [HangsOnce, HangsAlways, Spin]
holding = [Regex, Sleep, Spin]
