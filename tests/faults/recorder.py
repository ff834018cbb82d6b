"""A worker that writes down outside Redis what it starts and what its scripts are told.

Lines of the ledger: ``ready pid``, ``start run delivery attempt crashes ms pid``, ``told script run delivery reply
pid``, ``died point ms pid``, ``repaired script count pid``. Times are those of the machine's monotonic clock, which all
processes share.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from broker_wf import Workflow
from broker_wf.broker import connection
from broker_wf.broker.broker import open_broker
from broker_wf.broker.script import Script
from broker_wf.engine import ending
from broker_wf.settings import Settings
from broker_wf.worker import worker
from broker_wf.worker.serving import Stops, run_worker
from tests.apps import asking, faulty, held, loads, rolling
from tests.faults.points import Points
from tests.mutants import mutated

ENDS = ("commit", "fail")
REPAIRS = ("sweep", "audit")


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Recorder:
    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, *words: object) -> None:
        """One line, in one write: lines of several processes do not mix."""
        os.write(self._descriptor, (" ".join(map(str, (*words, os.getpid()))) + "\n").encode())

    def install(self) -> None:
        """Wrap what a worker calls; for the whole life of this process."""
        self._call, self._call_together = connection.Pipe.call, connection.Pipe.call_together
        worker.execute = self._recorded(worker.execute)
        ending.execute_ahead = self._recorded(ending.execute_ahead, ahead=True)
        connection.Pipe.call = lambda pipe, script, *values: self._recorded_call(pipe, script, *values)
        connection.Pipe.call_together = lambda pipe, *values: self._recorded_part(pipe, *values)

    def _recorded(self, execute: Callable[..., Awaitable[Any]], *, ahead: bool = False) -> Any:
        """What is executed before it is leased has -1 crashes: it may be begun again if that lease is not given."""

        async def recorded(program: Any, site: Any, delivery: Any, *rest: Any) -> Any:
            crashes = -1 if ahead else delivery.crashes
            self.note("start", delivery.run_id, delivery.id, delivery.attempt, crashes, monotonic_ms())
            return await execute(program, site, delivery, *rest)

        return recorded

    def _recorded_call(self, pipe: Any, script: Script, *values: Any) -> Awaitable[object]:
        reply: Any = self._call(pipe, script, *values)
        if script.name in REPAIRS:
            reply.add_done_callback(lambda done: self._note_repairs(script.name, done))
        if script.name not in ENDS:
            return reply
        links = [one.decode() for one in values[3][::3]] if script.name == "commit" else []
        return self._told(reply, script.name, values[0], [values[1], *links])

    def _recorded_part(self, pipe: Any, script: Script, head: Any, part: Any) -> Awaitable[object]:
        return self._told(self._call_together(pipe, script, head, part), "commit", head[0], [part[0]])

    def _told(self, reply: Any, script: str, run: str, deliveries: list[str]) -> Awaitable[object]:
        def told(done: asyncio.Future[Any]) -> None:
            word = "" if done.cancelled() or done.exception() is not None else done.result()[0].decode()
            # What is committed by itself then is told so then; of links that were refused there is nothing to tell.
            for one in deliveries if word in ("OK", "DONE") else deliveries[:1] if word not in ("", "SINGLY") else ():
                self.note("told", script, run, one, word)

        reply.add_done_callback(told)
        # A task that is cancelled while it waits must not take the reply along.
        return asyncio.shield(reply)

    def _note_repairs(self, name: str, done: asyncio.Future[Any]) -> None:
        if not done.cancelled() and done.exception() is None and done.result()[1]:
            self.note("repaired", name, done.result()[1])


SERVED: dict[str, Callable[[], list[Workflow]]] = {
    "loads": lambda: [*loads.workflows, *held.workflows],
    "faulty": lambda: [one() for one in faulty.workflows],
    "asking": lambda: [one() for one in asking.workflows],
    **{name: lambda version=version: [version()] for name, version in rolling.VERSIONS.items()},
}
"""What forked workers may serve."""


async def main(ledger: str, workflows: Sequence[Workflow], *, points: str | None = None) -> None:
    recorder, stops = Recorder(ledger), Stops()
    recorder.install()
    if points is not None:
        Points(Path(points), lambda point: recorder.note("died", point.replace(" ", "-"), monotonic_ms())).install()
    settings = Settings.load()
    stops.listen()
    broker = await open_broker(settings, settings.full_url, patience_s=None)
    programs = [one.program() for one in workflows]
    await run_worker(programs, broker, settings, stops, lambda: recorder.note("ready"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("ledger")
    parser.add_argument("--mutant")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        if arguments.mutant:
            stack.enter_context(mutated(arguments.mutant))
        asyncio.run(main(arguments.ledger, [*SERVED["loads"](), *SERVED["faulty"]()]))
