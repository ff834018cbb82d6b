"""Many runs of one workflow, a bounded number of them in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from broker_wf.events import StartEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.workflow import Workflow

Input = StartEvent | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How one of many runs ended.

    Attributes:
        index: of its input, from 0.
        result: what awaiting its handler gave; None if it ended badly.
        error: what awaiting its handler raised.
    """

    index: int
    handler: WorkflowHandler
    result: Any = None
    error: Exception | None = None


async def run_many(
    workflow: Workflow,
    inputs: Iterable[Input] | AsyncIterable[Input],
    *,
    in_flight: int = 256,
    ordered: bool = False,
) -> AsyncGenerator[RunOutcome, None]:
    """Run a workflow once for each input; outcomes come as runs end, or in the order of the inputs.

    Inputs are taken as places become free, so they may be more than fit into memory. Leaving the loop early starts no
    further runs; those in flight go on.

    Args:
        inputs: start events, or their fields with ``run_id`` among them where the ids are yours.
        in_flight: runs that have begun and not ended, at most.
        ordered: outcomes in the order of the inputs; a slow run then holds back those behind it.

    Raises:
        ValueError: ``in_flight`` is less than 1.
        Exception: an input makes no start event; runs in flight go on.
    """
    if in_flight < 1:
        raise ValueError(f"in_flight is {in_flight}; it must be at least 1")
    waiting: dict[asyncio.Task[RunOutcome], int] = {}
    source, index, more = _numbered(inputs), 0, True
    try:
        while more or waiting:
            while more and len(waiting) < in_flight:
                more, given = await _next(source)
                if given is not None:
                    waiting[asyncio.ensure_future(_outcome(index, _begun(workflow, given)))] = index
                    index += 1
            for task in await _ended(waiting, ordered=ordered):
                del waiting[task]
                yield task.result()
    finally:
        for task in waiting:
            task.cancel()


async def _ended(waiting: dict[asyncio.Task[RunOutcome], int], *, ordered: bool) -> list[asyncio.Task[RunOutcome]]:
    if not waiting:
        return []
    if ordered:
        first = next(iter(waiting))
        await asyncio.wait([first])
        return [first]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    return sorted(done, key=waiting.__getitem__)


def _begun(workflow: Workflow, given: Input) -> WorkflowHandler:
    return workflow.run(start_event=given) if isinstance(given, StartEvent) else workflow.run(**given)


async def _outcome(index: int, handler: WorkflowHandler) -> RunOutcome:
    (ended,) = await asyncio.gather(handler.stop_event_result(), return_exceptions=True)
    if isinstance(ended, Exception):
        return RunOutcome(index=index, handler=handler, error=ended)
    return RunOutcome(index=index, handler=handler, result=await handler)


async def _numbered(inputs: Iterable[Input] | AsyncIterable[Input]) -> AsyncGenerator[Input, None]:
    if isinstance(inputs, AsyncIterable):
        async for one in inputs:
            yield one
    else:
        for one in inputs:
            yield one


async def _next(source: AsyncGenerator[Input, None]) -> tuple[bool, Input | None]:
    try:
        return True, await source.__anext__()
    except StopAsyncIteration:
        return False, None
