"""Many runs of one workflow, a bounded number of them in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from contextlib import aclosing
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
    id_prefix: str | None = None,
) -> AsyncGenerator[RunOutcome, None]:
    """Run a workflow once for each input; outcomes come as runs end, or in the order of the inputs.

    Inputs are taken as places become free, so they may be more than fit into memory. Leaving the loop early starts no
    further runs; those in flight go on.

    Args:
        inputs: start events, or their fields with ``run_id`` among them where the ids are yours.
        in_flight: runs that have begun and not ended, at most.
        ordered: outcomes in the order of the inputs; a slow run then holds back those behind it.
        id_prefix: run ids are ``<prefix>-<index>``: a script that is started again on the same inputs attaches to the
            runs it has begun before, ended ones too as long as they are kept, and begins the others. An input's own
            ``run_id`` comes first.

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
                    waiting[
                        asyncio.ensure_future(
                            _outcome(index, _begun(workflow, given, id_prefix and f"{id_prefix}-{index}"))
                        )
                    ] = index
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


async def map(
    workflow: Workflow,
    inputs: Iterable[Input] | AsyncIterable[Input],
    *,
    in_flight: int = 256,
    id_prefix: str | None = None,
) -> AsyncGenerator[Any, None]:
    """Run a workflow once for each input; results come in the order of the inputs.

    As `run_many`, for those who want results only. The first run that ended badly ends the iteration with its error;
    those in flight go on.

    Args:
        inputs: as of `run_many`.
        in_flight: runs that have begun and not ended, at most.
        id_prefix: as of `run_many`.

    Raises:
        ValueError: ``in_flight`` is less than 1.
        Exception: what awaiting the handler of a run raised, or an input that makes no start event.
    """
    outcomes = run_many(workflow, inputs, in_flight=in_flight, ordered=True, id_prefix=id_prefix)
    async with aclosing(outcomes):
        async for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            yield outcome.result


def _begun(workflow: Workflow, given: Input, run_id: str | None) -> WorkflowHandler:
    chosen: dict[str, Any] = {} if run_id is None else {"run_id": run_id}
    if isinstance(given, StartEvent):
        return workflow.run(start_event=given, **chosen)
    return workflow.run(**{**chosen, **given})


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
