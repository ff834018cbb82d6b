"""Reading the course of a run for a function that cannot wait, in a process whose event loop may be running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from broker_wf.broker.broker import Broker, open_broker
from broker_wf.configuration import current_settings
from broker_wf.core.definition import facts_of
from broker_wf.core.routing import Router
from broker_wf.errors import WorkflowRuntimeError
from broker_wf.home import resolve_url
from broker_wf.inspector.history import History, history_of, steps_of_facts
from broker_wf.inspector.inspector import Inspector
from broker_wf.settings import Settings


class Followed(Protocol):
    """The run of a handler, as far as a drawing needs it.

    Attributes:
        reached: the namespace the run was submitted to; None: it has not been, yet.
    """

    reached: Broker | None
    router: Router


class Handler(Protocol):
    """A handler, as far as a drawing needs it."""

    @property
    def followed(self) -> Followed: ...  # noqa: D102

    @property
    def run_id(self) -> str:
        """Its id."""
        ...


def read_history(run: Handler | str, broker: Settings | str | None = None) -> History:
    """Read the course of a run. Blocks for some round trips, over a connection of its own.

    Args:
        run: a handler, or the id of a run of any process.
        broker: where to look for the id; None: where this process looks by default.

    Raises:
        RunNotFoundError: no such run, or it is not kept any more.
        WorkflowRuntimeError: the handler's run has not been submitted yet.
        ServerUnreachableError: the server does not answer.
    """
    settings = current_settings(broker)
    if isinstance(run, str):
        return _elsewhere(settings, lambda: resolve_url(settings)[0], run)
    known = run.followed.reached
    if known is None:
        raise WorkflowRuntimeError(f"run {run.run_id} has not been submitted yet: await it, or one event of it, first")
    url = known.url
    history = _elsewhere(replace(settings, namespace=known.keys.namespace), lambda: url, run.run_id)
    return replace(history, steps=steps_of_facts(facts_of(run.followed.router.spec)))


def _elsewhere(settings: Settings, url: Callable[[], str], run_id: str) -> History:
    """Ask from a thread with an event loop of its own."""

    async def ask() -> History:
        broker = await open_broker(settings, url(), patience_s=settings.connect_timeout_ms / 1000)
        try:
            return await history_of(Inspector(broker), run_id)
        finally:
            await broker.pipe.close()

    with ThreadPoolExecutor(1) as one:
        return one.submit(lambda: asyncio.run(ask())).result()
