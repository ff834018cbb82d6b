"""From the specs of the steps to the spec of the workflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from broker_wf import events
from broker_wf.context.state_store import DictState
from broker_wf.core.class_names import qualified_name
from broker_wf.core.ids import EventName, StepName, WorkflowName
from broker_wf.core.levels import bindings
from broker_wf.core.spec import EventClass, StepSpec, WorkflowSpec
from broker_wf.core.validation import check_classes
from broker_wf.errors import WorkflowValidationError

Steps = Mapping[StepName, StepSpec]


def build_spec(
    *,
    name: str,
    class_path: str,
    steps: Steps,
    timeout: float | None,
    num_concurrent_runs: int | None = None,
) -> WorkflowSpec:
    """Compute what follows from the steps of a workflow.

    Args:
        name: what the workflow is known by.
        class_path: ``module:Qualname`` of its class.
        steps: in order of definition.
        timeout: seconds of one run; None or infinite: none.
        num_concurrent_runs: as given to the workflow.

    Raises:
        WorkflowConfigurationError: not exactly one start and one stop class.
        WorkflowValidationError: two event classes cannot be told apart by name.
        ValueError: the ``Context[S]`` annotations do not agree.
    """
    start_class, stop_class = check_classes(steps, class_path.rpartition(":")[2].rpartition(".")[2])
    return WorkflowSpec(
        name=WorkflowName(name),
        class_path=class_path,
        steps=steps,
        start_class=start_class,
        stop_class=stop_class,
        timeout_ms=_milliseconds(timeout),
        state_type=state_type(steps),
        num_concurrent_runs=num_concurrent_runs,
        names=event_names(events_of(steps)),
        bindings=bindings(steps),
    )


def _milliseconds(timeout: float | None) -> int | None:
    return None if timeout is None or timeout == float("inf") else round(timeout * 1000)


def events_of(steps: Steps) -> list[EventClass]:
    """Return all event classes of the signatures, each once, in order of appearance."""
    found: dict[EventClass, None] = {}
    for step in steps.values():
        taken = [c for slot in step.slots for c in slot.types]
        found.update(dict.fromkeys((*taken, *step.returns, *step.list_returns)))
    return list(found)


def event_names(classes: Iterable[EventClass]) -> dict[EventClass, EventName]:
    """Give each class its name on the wire.

    That is ``__name__``; classes that share one, with each other or with an event of the library, have their
    qualified names instead.

    Raises:
        WorkflowValidationError: two classes share that too: they were defined in different calls of one
            function, or one was defined anew while the other was still in use.
    """
    own = list(classes)
    short = Counter(c.__name__ for c in own)
    names: dict[EventClass, EventName] = {}
    holders: dict[str, EventClass] = {}
    for event_class in own:
        text = event_class.__name__
        if short[text] > 1 or getattr(events, text, event_class) is not event_class:
            text = qualified_name(event_class)
        if text in holders:
            raise WorkflowValidationError(
                f"Two event classes of one workflow are both called {text}; other processes could not tell "
                f"them apart. Rename one, or define it once"
            )
        holders[text] = event_class
        names[event_class] = EventName(text)
    return names


def state_type(steps: Steps) -> type[BaseModel]:
    """Return the most derived ``S`` of all ``Context[S]``, or DictState if none is given.

    Raises:
        ValueError: no one of them derives from all others.
    """
    declared = [s.state_type for s in steps.values() if s.state_type is not None]
    found = {t for t in declared if issubclass(t, BaseModel) and t is not DictState}
    if not found:
        return DictState
    for candidate in found:
        if all(issubclass(candidate, other) for other in found):
            return candidate
    names = ", ".join(sorted(t.__name__ for t in found))
    raise ValueError(
        f"Multiple state types are not in a compatible inheritance hierarchy. One of them must derive from "
        f"all others. Found: {names}"
    )
