"""What the verbs that ask a namespace have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from broker_wf.cli.failures import USAGE, CommandError, Failure
from broker_wf.cli.options import asked_where
from broker_wf.core.ids import RunId
from broker_wf.inspecting import opened_broker
from broker_wf.inspector import Inspector

T = TypeVar("T")

as_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def asked(url: str | None, namespace: str | None, question: Callable[[Inspector], Awaitable[T]]) -> T:
    """Ask one question of the namespace that the options name."""
    settings = asked_where(url, namespace).settings()

    async def ask() -> T:
        async with opened_broker(settings) as broker:
            return await question(Inspector(broker))

    return asyncio.run(ask())


async def whole_id(inspector: Inspector, prefix: str) -> RunId:
    """The run whose id begins so; says what is wrong where that is not one."""
    try:
        return await inspector.run_id(prefix)
    except ValueError as error:
        failure = Failure(code=USAGE, what=f"{prefix!r} is not one run's id", why=str(error), mend="Write more of it.")
        raise CommandError(failure) from error
