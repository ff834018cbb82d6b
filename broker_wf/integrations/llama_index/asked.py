"""What a workflow's own ``run`` asks the engine for.

Agents take a question, a memory, a history, and make their start event of them in a ``run`` of their own, which ends in
``super().run(…)``. That call is what is wanted here, without a run of theirs beginning.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from workflows import Workflow

_BEGIN = "_broker_wf_begin"
_SLOTS = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Arguments of ``Workflow.run``."""

    ctx: object
    start_event: object
    fields: dict[str, Any]


class _Asks(Workflow):
    """Stands directly before ``Workflow`` among the bases, and hands on what it was asked."""

    def run(self, ctx: Any = None, start_event: Any = None, **kwargs: Any) -> Any:
        return vars(self)[_BEGIN](Asked(ctx=ctx, start_event=start_event, fields=kwargs))


@cache
def _asking(cls: type[Workflow]) -> type[Workflow]:
    return cast("type[Workflow]", types.new_class(cls.__name__, (cls, _Asks)))


def ask(workflow: Workflow, args: tuple[Any, ...], kwargs: dict[str, Any], begin: Callable[[Asked], Any]) -> Any:
    """Call the ``run`` of the workflow's class on a copy that shares its attributes.

    Args:
        begin: gives the handler, for what ``Workflow.run`` was asked.
    """
    asking = _asking(type(workflow))
    copy = asking.__new__(asking)
    object.__setattr__(copy, "__dict__", {**vars(workflow), _BEGIN: begin})
    for slot in _SLOTS:
        if hasattr(workflow, slot):
            object.__setattr__(copy, slot, getattr(workflow, slot))
    return cast("Any", copy).run(*args, **kwargs)
