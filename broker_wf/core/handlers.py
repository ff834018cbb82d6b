"""Which ``@catch_error`` handler covers which step."""

from __future__ import annotations

from collections.abc import Mapping

from broker_wf.core.ids import StepName
from broker_wf.core.spec import StepSpec


def handler_of(steps: Mapping[StepName, StepSpec], name: StepName) -> StepSpec | None:
    """Return the handler for a step that failed: the one that names it, else the one for all, else none.

    A handler's own failure is covered by none.
    """
    if steps[name].catches:
        return None
    handlers = [s for s in steps.values() if s.catches]
    scoped = (h for h in handlers if h.handles is not None and name in h.handles)
    return next(scoped, None) or next((h for h in handlers if h.handles is None), None)


def handler_faults(steps: Mapping[StepName, StepSpec]) -> list[str]:
    """Say what is wrong with the handlers as a set."""
    handlers = [s for s in steps.values() if s.catches]
    wildcards = sorted(h.name for h in handlers if h.handles is None)
    faults: list[str] = []
    if len(wildcards) > 1:
        faults.append(
            f"Only one wildcard @catch_error handler is allowed per workflow, "
            f"found {len(wildcards)}: {', '.join(wildcards)}"
        )
    owners: dict[StepName, StepName] = {}
    for handler in handlers:
        for target in handler.handles or ():
            fault = _target_fault(steps, handler.name, target, owners)
            if fault is None:
                owners[target] = handler.name
            else:
                faults.append(fault)
    return faults


def _target_fault(
    steps: Mapping[StepName, StepSpec],
    handler: StepName,
    target: StepName,
    owners: Mapping[StepName, StepName],
) -> str | None:
    if target not in steps:
        return f"@catch_error handler '{handler}' lists unknown step '{target}' in for_steps."
    if steps[target].catches:
        return f"@catch_error handler '{handler}' cannot cover another handler step '{target}'."
    if target in owners:
        return f"Step '{target}' is claimed by two @catch_error handlers: '{owners[target]}' and '{handler}'."
    return None
