"""Their steps as steps of this engine: the facts read from ``_step_config``, the functions called with their events."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from workflows import collect as their_collect
from workflows.context.state_store import DictState
from workflows.decorators import StepConfig
from workflows.events import Event

from broker_wf import events as ours
from broker_wf.collect import All, Cardinality, Take
from broker_wf.context.context import Context
from broker_wf.core.ids import StepName
from broker_wf.core.spec import EventClass, Intake, Slot, StepSpec
from broker_wf.integrations.llama_index.context import StepsContext, kept
from broker_wf.integrations.llama_index.current import as_current
from broker_wf.integrations.llama_index.events import is_event_class, our_class, to_ours, to_theirs
from broker_wf.integrations.llama_index.resources import TheirResource
from broker_wf.resource import ResourceDefinition

_CONTEXT = "_broker_wf_context"
"""Parameter under which every step gets its context, whatever the step itself calls it."""

StepFunction = Callable[..., object]


def step_spec_of(name: str, function: StepFunction, config: StepConfig) -> StepSpec:
    """The facts of one of their steps."""
    slots, intake = _slots(config)
    bare = config.bare_return_types if config.is_fan_out else tuple(config.return_types)
    listed = [cls for cls in config.return_types if cls not in bare] if config.is_fan_out else []
    state_type = cast("type | None", config.context_state_type)
    catches = config.role == "catch_error"
    covered = config.catch_error_for_steps
    called = _Called(function, config.context_parameter)
    return StepSpec(
        name=StepName(name),
        function=called.awaited if inspect.iscoroutinefunction(inspect.unwrap(function)) else called.in_thread,
        is_async=inspect.iscoroutinefunction(inspect.unwrap(function)),
        intake=intake,
        slots=slots,
        cardinality=_cardinality(config) if intake is Intake.COLLECTION else None,
        returns=_classes(bare),
        list_returns=_classes(listed),
        context_parameter=_CONTEXT,
        state_type=state_type if state_type is not None and not _is_plain_state(state_type) else None,
        resources=tuple(
            (one.name, ResourceDefinition(one.name, TheirResource(one.resource), cast("object", one.type_annotation)))
            for one in config.resources
        ),
        num_workers_per_run=config.num_workers,
        retry_policy=cast("Any", config.retry_policy),
        accept_event_subclasses=config.accept_event_subclasses,
        skip_graph_checks=frozenset(config.skip_graph_checks),
        catches=catches,
        handles=None if covered is None else tuple(map(StepName, covered)),
        max_recoveries=config.catch_error_max_recoveries,
    )


def _slots(config: StepConfig) -> tuple[tuple[Slot, ...], Intake]:
    if config.collection_param is not None:
        parameter, members = config.collection_param
        return (Slot(parameter=parameter, types=_classes(members)),), Intake.COLLECTION
    if config.collect_params is not None:
        slots = tuple(Slot(parameter=name, types=_classes((cls,))) for name, cls in config.collect_params)
        return slots, Intake.SLOTS
    return (Slot(parameter=config.event_name, types=_classes(config.accepted_events)),), Intake.SINGLE


def _classes(classes: Iterable[object]) -> tuple[EventClass, ...]:
    return tuple(our_class(cast("type[Event]", cls)) for cls in classes if is_event_class(cls))


def _cardinality(config: StepConfig) -> Cardinality:
    wanted = None if config.collection_policy is None else config.collection_policy.cardinality
    return Take(wanted.n) if isinstance(wanted, their_collect.Take) else All()


def _is_plain_state(cls: type) -> bool:
    """Their DictState has no fields: the state is ours of the same name."""
    return cls is DictState


@dataclass(frozen=True, slots=True)
class _Called:
    """One of their step functions, called by this engine."""

    function: StepFunction
    context_parameter: str | None

    async def awaited(self, **arguments: object) -> object:
        """Call a coroutine function."""
        context, given = self._given(arguments)
        with as_current(context):
            result = await cast("Awaitable[object]", self.function(**given))
        await kept(context)
        return _result(result)

    def in_thread(self, **arguments: object) -> object:
        """Call a function that is not async; it cannot have touched the state."""
        context, given = self._given(arguments)
        with as_current(context):
            return _result(self.function(**given))

    def _given(self, arguments: Mapping[str, object]) -> tuple[StepsContext, dict[str, object]]:
        given = {name: _argument(value) for name, value in arguments.items() if name != _CONTEXT}
        context = StepsContext(cast("Context[Any]", arguments[_CONTEXT]))
        if self.context_parameter is not None:
            given[self.context_parameter] = context
        return context, given


def _argument(value: object) -> object:
    if isinstance(value, ours.Event):
        return to_theirs(value)
    if isinstance(value, list):
        return [_argument(item) for item in cast("list[object]", value)]
    return value


def _result(value: object) -> object:
    if isinstance(value, Event):
        return to_ours(value)
    if isinstance(value, list):
        return [_result(item) for item in cast("list[object]", value)]
    return value
