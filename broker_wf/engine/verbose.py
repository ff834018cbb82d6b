"""What ``verbose=True`` says, where the steps execute: to the logger, if it listens, else to standard output."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import StepName
from broker_wf.core.outcome import Outcome, Returned
from broker_wf.engine.summary import summarize
from broker_wf.events import Event, StopEvent

log = logging.getLogger("broker_wf.verbose")

_taken: dict[StepName, set[int]] = {}


def say(line: str) -> None:
    """Print a line, or log it if the logger ``broker_wf.verbose`` is enabled for INFO."""
    if log.isEnabledFor(logging.INFO):
        log.info("%s", line)
    else:
        sys.stdout.write(f"{line}\n")


def say_added(event: Event, step: str | None = None) -> None:
    """An event was handed to a run."""
    say(f"[tick] add: {summarize(event)}{f' -> {step}' if step else ''}")


def say_published(event: Event) -> None:
    """An event was written to the feed."""
    say(f"[tick] publish: {summarize(event)}")


@dataclass(frozen=True, slots=True)
class Voice:
    """Speaks for one execution. ``number``: no other one of the step in this process has it meanwhile."""

    step: StepName
    number: int

    def ending(self, outcome: Outcome) -> None:
        """The execution is about to end its run: whoever waits for that may not wait for anything said after it."""
        stop = _stop(outcome)
        if stop is not None:
            say(f"[result] {summarize(stop)}")
            self._complete(outcome)

    def ended(self, outcome: Outcome) -> None:
        """The execution has ended, and what came of it stands."""
        if _stop(outcome) is not None:
            return
        self._complete(outcome)
        for event in outcome.events if isinstance(outcome, Returned) else ():
            say_added(event)

    def _complete(self, outcome: Outcome) -> None:
        say(f"[{self.step}:{self.number}] complete with {_result(outcome)}")


@contextmanager
def speaking(delivery: Delivery, event_name: str) -> Generator[Voice, None, None]:
    """Say that an execution begins; the block is the execution."""
    numbers = _taken.setdefault(delivery.step, set())
    number = next(n for n in range(len(numbers) + 1) if n not in numbers)
    numbers.add(number)
    say(f"[{delivery.step}:{number}] started from {event_name}")
    try:
        yield Voice(delivery.step, number)
    finally:
        numbers.discard(number)


def _stop(outcome: Outcome) -> StopEvent | None:
    events = outcome.events if isinstance(outcome, Returned) else ()
    return next((event for event in events if isinstance(event, StopEvent)), None)


def _result(outcome: Outcome) -> str:
    if not isinstance(outcome, Returned) or not (outcome.events or outcome.listed):
        return "no result"
    return "list" if outcome.listed else type(outcome.events[0]).__name__
