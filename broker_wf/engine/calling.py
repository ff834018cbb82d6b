"""A step is called: what it is called with, where it stands, what came of it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

from broker_wf.context.context import Context, InStep, current_step
from broker_wf.context.state_store import DictState
from broker_wf.core.delivery import Delivery
from broker_wf.core.outcome import Outcome
from broker_wf.core.spec import StepSpec
from broker_wf.engine.children import Children, current_children
from broker_wf.engine.effects import Effects
from broker_wf.engine.intake import arguments_of
from broker_wf.engine.invocation import Call, invoke
from broker_wf.engine.program import Program
from broker_wf.engine.site import Site
from broker_wf.engine.step_context import StepContext
from broker_wf.engine.tracing import StepTrace
from broker_wf.events import Event
from broker_wf.wire.blobs import NOTHING_FETCHED


class LeaseNeeded(BaseException):
    """Leaves a step that was begun before it was leased, and uses its Context. Not for users to catch."""


class Lent:
    """Stands behind the Context of such a step: of one that goes on once it is leased, ``context`` does.

    Raises:
        LeaseNeeded: at any use before.
    """

    context: StepContext | None = None

    def __getattr__(self, name: str) -> object:
        """What the context of the lease has."""
        if self.context is None:
            raise LeaseNeeded
        return getattr(self.context, name)


async def execute_ahead(program: Program, site: Site, delivery: Delivery, lent: Lent) -> Outcome:
    """Execute a step that asks for no Context, of a delivery that is not leased yet.

    Raises:
        DecodeError: its event cannot be read.
        LeaseNeeded: it has asked for a Context in spite of that.
        asyncio.CancelledError: the task was cancelled; nothing came of it.
    """
    step = program.spec.steps[delivery.step]
    arguments = await arguments_of(program, site, step, delivery)
    return await _called(program, site, step, delivery, cast("StepContext", lent), arguments)


async def context_of(program: Program, site: Site, delivery: Delivery) -> StepContext:
    """What stands behind the Context of an execution."""
    atomic = program.spec.steps[delivery.step].atomic
    effects = Effects(site=site, delivery=delivery, codec=program.codec.at(delivery.run_id), held=atomic)
    blobs = NOTHING_FETCHED
    if delivery.buffers:
        collected = (payload for one in delivery.buffers.values() for payload in one.payloads)
        blobs = await site.broker.blobs.fetch(delivery.run_id, collected)
    return StepContext(
        program=program, site=site, delivery=delivery, buffers=delivery.buffers, blobs=blobs, effects=effects
    )


async def called(
    program: Program, site: Site, step: StepSpec, context: StepContext, arguments: dict[str, object]
) -> Outcome:
    """Call the step; what came of it.

    Raises:
        asyncio.CancelledError: the task was cancelled; nothing came of it.
    """
    try:
        outcome = await _called(program, site, step, context.delivery, context, arguments)
    finally:
        if context.told is not None:
            context.told.stop()
    if context.told is not None:
        context.told.flush()
    return outcome


async def _called(
    program: Program,
    site: Site,
    step: StepSpec,
    delivery: Delivery,
    context: StepContext,
    arguments: dict[str, object],
) -> Outcome:
    made: Context[DictState] = Context.of(InStep(context))
    children = Children(site=site, delivery=delivery, step=step)
    clock = asyncio.get_running_loop().time
    began, token, childs_token = clock(), current_step.set(made), current_children.set(children)
    try:
        outcome = await invoke(
            Call(
                step=step,
                events=arguments,
                context=made,
                resources=program.resources,
                threads=site.threads,
                stuck=partial(site.stuck, delivery),
                trace=StepTrace(run_id=delivery.run_id, given=given(arguments), carried=delivery.trace),
            )
        )
    finally:
        current_step.reset(token)
        current_children.reset(childs_token)
    program.pace.took(step, clock() - began)
    await children.close()
    return outcome


def given(arguments: dict[str, object]) -> Event | None:
    """The event a step is called with, of several the first; None for a list."""
    first = next(iter(arguments.values()), None)
    return first if isinstance(first, Event) else None
