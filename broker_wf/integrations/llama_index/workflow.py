"""A workflow of theirs as a workflow of this library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError
from workflows import Workflow as TheirWorkflow
from workflows.errors import WorkflowRuntimeError
from workflows.events import StartEvent

from broker_wf.core.ids import StepName
from broker_wf.core.spec import StepSpec, WorkflowSpec
from broker_wf.events import StartEvent as OurStartEvent
from broker_wf.integrations.llama_index.asked import Asked, ask
from broker_wf.integrations.llama_index.context import DistributedContext
from broker_wf.integrations.llama_index.errors import their_errors
from broker_wf.integrations.llama_index.events import our_class, to_ours
from broker_wf.integrations.llama_index.handler import DistributedHandler
from broker_wf.integrations.llama_index.inside import arguments_of, name_of, steps_of
from broker_wf.integrations.llama_index.known import (
    models_of_agents,
    own_values_in,
    refused_of_agents,
    their_events_in,
)
from broker_wf.integrations.llama_index.resources import manager_of
from broker_wf.integrations.llama_index.seeds import adopted
from broker_wf.integrations.llama_index.steps import step_spec_of
from broker_wf.settings import Settings
from broker_wf.wire.known import registered
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.remote_errors import known_errors
from broker_wf.workflow import Workflow


class DistributedWorkflow(Workflow):
    """An unchanged workflow of ``llama-index-workflows``: its steps are executed by workers of this library.

    Runs it begins take what the workflow's own ``run`` takes; handlers and contexts speak of their events and raise
    their errors.

    Attributes:
        original: the workflow; its steps are called on this very instance.
    """

    def __init__(
        self,
        original: TheirWorkflow,
        *,
        broker: Settings | str | None = None,
        workflow_name: str | None = None,
        types: Iterable[type] = (),
    ) -> None:
        """See ``distribute``."""
        given = arguments_of(original)
        self.original = original
        self._types = tuple(types)
        super().__init__(
            timeout=given.timeout,
            disable_validation=given.disable_validation,
            verbose=given.verbose,
            resource_manager=manager_of(given.resources),
            num_concurrent_runs=given.num_concurrent_runs,
            workflow_name=workflow_name or name_of(original),
            skip_graph_checks=given.skip_graph_checks,
            broker=broker,
        )

    def __getattr__(self, name: str) -> Any:
        """What is not of a workflow is the original's: an agent's name, its tools."""
        return getattr(vars(self)["original"], name)

    @property
    def start_event_class(self) -> Any:
        """The class of theirs that a run begins with."""
        return self.original.start_event_class

    @property
    def stop_event_class(self) -> Any:
        """The class of theirs that a run ends with."""
        return cast("Any", self.original).stop_event_class

    @property
    def events(self) -> list[Any]:
        """All event classes of the steps' signatures."""
        return list(self.original.events)

    @property
    def runtime(self) -> object:
        """What their ``Context(workflow)`` asks for its serializer."""
        return _Serializes(self.original)

    def validate(self, *, validate_resource_configs: bool = True, validate_resources: bool = False) -> bool:
        """Check the graph as the original does, with its errors.

        Returns:
            Whether a person takes part.
        """
        return self.original.validate(
            validate_resource_configs=validate_resource_configs, validate_resources=validate_resources
        )

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Begin a run with the arguments that the original's ``run`` takes. Returns at once, a ``DistributedHandler``.

        Raises:
            Exception: what the original raises for arguments that are wrong.
            EncodeError, LimitExceededError: the start event cannot travel.
        """
        return ask(self.original, args, kwargs, self._begin)

    def attach(self, run_id: str, *, resume: bool = False) -> Any:
        """Follow a run that was begun elsewhere. See ``Workflow.attach``."""
        handler = super().attach(run_id, resume=resume)
        return DistributedHandler(handler, DistributedContext(handler.ctx))

    def _begin(self, asked: Asked) -> DistributedHandler:
        fields = dict(asked.fields)
        run_id = cast("str | None", fields.pop("run_id", None))
        event = self._their_start_event(asked.start_event, fields)
        ctx = adopted(asked.ctx, self)
        named = {} if run_id is None else {"run_id": run_id}
        ours = None if ctx is None else ctx.ours
        with their_errors():
            handler = super().run(ours, cast("OurStartEvent", to_ours(event)), **named)
        return DistributedHandler(handler, ctx or DistributedContext(handler.ctx))

    def _their_start_event(self, given: object, fields: Mapping[str, Any]) -> StartEvent:
        if given is not None:
            if not isinstance(given, StartEvent):
                raise ValueError("The 'start_event' argument must be an instance of 'StartEvent'.")
            return given
        cls = self.original.start_event_class
        try:
            return cls(**fields)
        except ValidationError as error:
            raise WorkflowRuntimeError(
                f"Failed creating a start event of type '{cls.__name__}' with the keyword arguments: {dict(fields)}"
            ) from error

    def _steps(self) -> dict[StepName, StepSpec]:
        return {
            StepName(name): step_spec_of(name, function, config)
            for name, (function, config) in steps_of(self.original).items()
        }

    def _defining_class(self) -> type:
        return type(self.original)

    def _registry(self, spec: WorkflowSpec, *, is_open: bool) -> EventRegistry:
        modules = {cls.__module__ for cls in (*type(self.original).__mro__, *self.original.events)}
        published = their_events_in(modules - {object.__module__})
        stand_ins = [our_class(cls) for cls in (*self.original.events, *published)]
        state = () if spec.state_type is None else (spec.state_type,)
        values = [*self.original.events, *published, *models_of_agents(), *own_values_in(modules), *self._types]
        registry = EventRegistry(spec.names, roots=[*stand_ins, *values, *state], modules=modules, is_open=is_open)
        for cls in registered():
            registry.register(cls)
        for cls, why in refused_of_agents():
            registry.refuse(cls, why)
        registry.errors.update(known_errors(["workflows.errors", *sorted(modules)]))
        return registry


@dataclass(frozen=True, slots=True)
class _Serializes:
    """Answers for the original, whichever workflow is asked about."""

    original: TheirWorkflow

    def get_serializer(self, _: object) -> object:
        return self.original.runtime.get_serializer(self.original)


def distribute(
    workflow: TheirWorkflow,
    *,
    broker: Settings | str | None = None,
    workflow_name: str | None = None,
    types: Iterable[type] = (),
) -> DistributedWorkflow:
    """Have the steps of an unchanged workflow of ``llama-index-workflows`` executed by this engine.

    Serve what this gives with ``broker-wf worker module:attribute``, or run it where no server is configured.
    ``num_workers`` of its steps keeps the meaning it has there: so many executions within one run.

    Args:
        workflow: an instance; agents are workflows too.
        broker: the server, or all settings, for this workflow alone.
        workflow_name: what it is known by; the default is the workflow's own name, and for an agent also the agent's:
            agents of one class are told apart by it.
        types: classes that its events or state hold behind ``Any`` and that its own modules do not define.

    Raises:
        TypeError: it is no workflow of theirs.
        ValueError: a class of ``types`` cannot travel.
    """
    if not isinstance(workflow, TheirWorkflow):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"distribute() takes an instance of workflows.Workflow, and was given {workflow!r}. A workflow of "
            "broker_wf needs no adapter."
        )
    return DistributedWorkflow(workflow, broker=broker, workflow_name=workflow_name, types=types)
