"""A context that a run is begun with: of theirs, of ours, or of a run before."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from workflows import Context as TheirContext
from workflows.errors import ContextStateError

from broker_wf.context.backend import DefinesState
from broker_wf.context.context import BeforeRun, Context
from broker_wf.integrations.llama_index.context import DistributedContext
from broker_wf.wire.state import state_of

T = TypeVar("T")


def adopted(ctx: object, workflow: DefinesState) -> DistributedContext | None:
    """The context of the run to come; None for one of its own.

    A fresh ``Context(workflow)`` of theirs becomes one of ours, the very object: whoever holds it sees the run, and may
    begin the next one with it.

    Raises:
        ContextStateError: it is a step's, or that of a run of their engine.
        TypeError: it is no context.
    """
    if ctx is None or isinstance(ctx, DistributedContext):
        return ctx
    if isinstance(ctx, Context):
        return DistributedContext(cast("Context[Any]", ctx))
    if not isinstance(ctx, TheirContext):
        raise TypeError(f"ctx must be a Context, and is {ctx!r}")
    theirs = cast("TheirContext[Any]", ctx)
    ours: Context[Any] = Context(workflow)
    _fill(ours, theirs, workflow)
    theirs.__class__ = DistributedContext
    found = cast("DistributedContext", theirs)
    DistributedContext.__init__(found, ours)
    return found


def _fill(ours: Context[Any], theirs: TheirContext[Any], workflow: DefinesState) -> None:
    store = cast("Any", theirs).store
    state = cast("BaseModel", _at_once(store.get_state()))
    undeclared = cast("dict[str, object]", (state.__pydantic_private__ or {}).get("_data") or {})
    values: dict[str, object] = {**state.__dict__, **undeclared}
    face = ours.face
    assert isinstance(face, BeforeRun)
    if values:
        _at_once(face.store.set_state(state_of(workflow.get_state_class(), values)))


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that has nothing to wait for.

    Raises:
        ContextStateError: it waits: somebody edits the state.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise ContextStateError("The state of the context is being edited; begin the run when that is done.")
