"""Workflow: subclass it, mark methods with ``@step``, run it."""

from __future__ import annotations

import string
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, cast

from pydantic import BaseModel, ValidationError

from broker_wf.context.context import Context
from broker_wf.core.class_names import class_path, qualified_name
from broker_wf.core.ids import RunId, StepName, WorkflowName
from broker_wf.core.run_ids import checked_run_id, new_run_id
from broker_wf.decorators import step_config, step_spec, steps_of
from broker_wf.errors import WorkflowRuntimeError, WorkflowValidationError
from broker_wf.events import Event, StartEvent
from broker_wf.later import Later
from broker_wf.types import StartT, StopT

if TYPE_CHECKING:
    import asyncio
    import logging

    from broker_wf import configuration, launching, plugins, programs, resource
    from broker_wf.core import resource_checks, run_options, spec_builder, validation
    from broker_wf.core.spec import StepSpec, WorkflowSpec
    from broker_wf.engine import tracing
    from broker_wf.engine.program import Program
    from broker_wf.handler import WorkflowHandler
    from broker_wf.representation import drawing
    from broker_wf.resource import ResourceManager
    from broker_wf.settings import Settings
    from broker_wf.wire.registry import EventRegistry
else:  # To define a workflow takes none of what checks it, once there is one, and runs it.
    asyncio, logging = Later("asyncio"), Later("logging")
    configuration, plugins = Later("broker_wf.configuration"), Later("broker_wf.plugins")
    resource, resource_checks = Later("broker_wf.resource"), Later("broker_wf.core.resource_checks")
    run_options, spec_builder = Later("broker_wf.core.run_options"), Later("broker_wf.core.spec_builder")
    validation = Later("broker_wf.core.validation")
    launching, programs = Later("broker_wf.launching"), Later("broker_wf.programs")
    tracing, drawing = Later("broker_wf.engine.tracing"), Later("broker_wf.representation.drawing")

_NAME_CHARACTERS_REFUSED = frozenset("{}|/#@:,\"'\\") | frozenset(string.whitespace)


class WorkflowMeta(type):
    """Gives each workflow class a place for the steps that are added to it later, and for what its instances share."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        cls.added_step_functions: dict[str, Callable[..., object]] = {}
        cls.open_registries: dict[Hashable, EventRegistry] = {}


class Workflow(Generic[StartT, StopT], metaclass=WorkflowMeta):
    """A class whose ``@step`` methods take and return events.

    Each execution of a step is a message: the steps of one run spread over all workers. With no server configured
    runs execute in this process, on this very instance.

    ``class Flow(Workflow[MyStart, MyStop])`` tells type checkers what ``run()`` takes and gives; nothing else changes.
    """

    def __init__(
        self,
        timeout: float | None = 45.0,
        disable_validation: bool = False,
        verbose: bool = False,
        resource_manager: ResourceManager | None = None,
        num_concurrent_runs: int | None = None,
        runtime: object = None,
        workflow_name: str | None = None,
        skip_graph_checks: Iterable[str] | None = None,
        serializer: object = None,
        *,
        broker: Settings | str | None = None,
    ) -> None:
        """Check the workflow's start and stop events.

        Args:
            timeout: seconds of one run, from the first start of a step on; None: none.
            disable_validation: ``run()`` does not validate the graph.
            verbose: print what each step does, where it executes; or log it, where ``broker_wf.verbose`` logs INFO.
            resource_manager: where resources are kept.
            num_concurrent_runs: None or at least 1.
            workflow_name: what the workflow is known by; the default is its module and class.
            skip_graph_checks: of ``reachability``, ``terminal_event``, ``dead_end``.
            broker: the server, or all settings, for this workflow alone.

        Raises:
            WorkflowConfigurationError: not exactly one start and one stop class.
            WorkflowValidationError: an argument has a value it cannot have.
        """
        bad_number = isinstance(num_concurrent_runs, bool) or not isinstance(num_concurrent_runs, int)
        if num_concurrent_runs is not None and (bad_number or num_concurrent_runs < 1):
            raise WorkflowValidationError("num_concurrent_runs must be an integer greater than 0 or None")
        if workflow_name is not None:
            _check_name(workflow_name)
        validation.check_graph_check_names(skip_graph_checks or ())
        self._timeout = timeout
        self._disable_validation = disable_validation
        self._verbose = verbose
        self._resource_manager = resource_manager or resource.ResourceManager()
        self._num_concurrent_runs = num_concurrent_runs
        self._workflow_name = workflow_name
        self._skip_graph_checks = tuple(skip_graph_checks or ())
        self._runtime, self._serializer, self._broker = runtime, serializer, broker
        self._specs: dict[int, WorkflowSpec] = {}
        self._programs: dict[tuple[bool, int], Program] = {}
        self._validated: tuple[int, bool] | None = None
        validation.check_classes(self._steps(), type(self).__name__)

    @classmethod
    def add_step(cls, func: Callable[..., object]) -> None:
        """Add a decorated free function as a step; instances there are already have it too.

        Raises:
            WorkflowValidationError: it is not decorated, or its name is taken.
        """
        name = getattr(func, "__name__", "")
        if step_config(func) is None:
            raise WorkflowValidationError(f"Step function {name} is missing the `@step` decorator.")
        if name in steps_of(cls) or name in cls._added_steps():
            raise WorkflowValidationError(
                f"A step {name} is already part of this workflow, please choose another name."
            )
        cls.added_step_functions[name] = func

    @classmethod
    def _added_steps(cls) -> dict[str, Callable[..., object]]:
        added: dict[str, Callable[..., object]] = {}
        for base in reversed(cls.__mro__):
            added |= getattr(base, "added_step_functions", {})
        return added

    @property
    def workflow_name(self) -> str:
        """What the workflow is known by."""
        return self._workflow_name or qualified_name(type(self))

    @property
    def start_event_class(self) -> type[StartT]:
        """The class a run begins with."""
        return cast("type[StartT]", self.spec.start_class)

    @property
    def stop_event_class(self) -> type[StopT]:
        """The class a run ends with."""
        return cast("type[StopT]", self.spec.stop_class)

    @property
    def events(self) -> list[type[Event]]:
        """All event classes of the steps' signatures."""
        return spec_builder.events_of(self._steps())

    @property
    def serializer(self) -> object:
        """Reads and writes the state in saved contexts. Between processes values travel as msgpack all the same."""
        return self._serializer

    def saved_types(self) -> list[type]:
        """The classes that a saved context may hold: those that may travel with the workflow's runs."""
        known: dict[str, type] = {}
        for cls in self.program().codec.registry.classes:
            known.setdefault(f"{cls.__module__}.{cls.__name__}", cls)
        return list(known.values())

    @property
    def runtime(self) -> object:
        """As given to the constructor, or the one there is."""
        return self._runtime or plugins.get_current_runtime()

    @property
    def spec(self) -> WorkflowSpec:
        """The facts of the workflow: steps, events, policies, digest."""
        version = len(self._added_steps())
        spec = self._specs.get(version)
        if spec is None:
            spec = self._specs[version] = spec_builder.build_spec(
                name=WorkflowName(self.workflow_name),
                class_path=class_path(self._defining_class()),
                steps=self._steps(),
                timeout=self._timeout,
                num_concurrent_runs=self._num_concurrent_runs,
            )
        return spec

    def get_state_class(self) -> type[BaseModel]:
        """The class of the run's state.

        Raises:
            ValueError: the ``Context[S]`` annotations do not agree.
        """
        return spec_builder.state_type(self._steps())

    def program(self, *, is_open: bool = False) -> Program:
        """What a worker needs to execute the workflow's steps on this instance.

        Args:
            is_open: classes met only behind ``Any`` may travel: for runs that never leave this process.
        """
        version = len(self._added_steps())
        program = self._programs.get((is_open, version))
        if program is None:
            program = self._programs[is_open, version] = self._make_program(is_open)
        return program

    def validate(self, *, validate_resource_configs: bool = True, validate_resources: bool = False) -> bool:
        """Check the graph of the workflow, and its resources.

        Returns:
            Whether a person takes part.

        Raises:
            WorkflowConfigurationError: no steps, or not exactly one start and one stop class.
            WorkflowValidationError: anything else that is wrong; each kind of fault with all its cases.
        """
        steps = self._steps()
        asks_person = validation.validate(steps, type(self).__name__, self._skip_graph_checks)
        if validate_resource_configs:
            resource_checks.refuse("Resource config", resource_checks.config_problems(steps))
        if validate_resources:
            made = resource_checks.resource_problems(steps, self._resource_manager)
            resource_checks.refuse("Resource", asyncio.run(made))
        return asks_person

    def run(
        self, ctx: Context[Any] | None = None, start_event: StartT | None = None, **kwargs: Any
    ) -> WorkflowHandler[StopT]:
        """Begin a run. Returns at once; needs a running event loop.

        Inside a step the run is a child of the step's: its id is made of the step's delivery, so that a step that is
        started again after a crash attaches to it; it ends with the parent; and the step holds no place while it
        awaits the handler. With a ``run_id`` of your own it is a run by itself, which its parent's end leaves alone.

        Args:
            ctx: what the run's state begins with. One that was saved while its run went on: the run goes on from
                there, and there is no start event.
            start_event: else made of ``kwargs``.
            kwargs: fields of the start event, and ``run_id``: the same id with the same start event attaches to the
                run there is; and ``run_options``: a ``RunOptions`` with its tags, its delay and the like.

        Raises:
            WorkflowValidationError, WorkflowConfigurationError: the workflow is wrong.
            WorkflowRuntimeError: no start event can be made of the arguments, or no step takes the one that is given.
            EncodeError, LimitExceededError: the start event cannot travel.
            ContextStateError: a run with this context goes on.
            ContextSerdeError: the context was saved by a workflow that has other steps.
        """
        asyncio.get_running_loop()
        self._validate_once()
        given_id = kwargs.pop("run_id", None)
        run_id = new_run_id() if given_id is None else checked_run_id(given_id)
        options = run_options.checked_options(kwargs.pop("run_options", run_options.NO_OPTIONS))
        settings = launching.settings_here(self._broker)
        program = self._program_for(settings)
        saved = launching.saved_run(ctx)
        if saved is not None:
            begins = partial(launching.going_on, program, saved, run_id)
            return launching.followed(
                run_id, program, launching.restoring(settings, program, run_id, saved), ctx, begins
            )
        event = self._start_event(start_event, kwargs)
        if program.router.route(type(event)).lost is not None:
            raise _no_taker(self, event)
        encoded = program.codec.at(run_id).encode_event(event)
        parent = launching.parent_step(settings) if given_id is None else None
        if parent is not None:
            childs = parent.run_id(program.spec.name, launching.start_hash(encoded))
            encoded, run_id = launching.moved(program, encoded, run_id, childs), childs
        state, span = launching.first_state(ctx, program, run_id), tracing.begin_run(self, run_id, event)
        launch = launching.Starting(
            settings=settings,
            program=program,
            run_id=run_id,
            event=event,
            encoded=encoded,
            state=state,
            parent=parent,
            span=span,
            options=options,
        )
        return launching.followed(run_id, program, launch, ctx, launch.begins, parent, span)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: all flows."""
        return drawing.workflow_drawing(self).shown()

    def _repr_html_(self) -> str:
        """What a notebook shows that knows HTML alone."""
        return drawing.workflow_drawing(self).shown()["text/html"]

    def attach(self, run_id: str, *, resume: bool = False) -> WorkflowHandler[StopT]:
        """Follow a run that was begun elsewhere, from its first event on.

        Args:
            resume: execute here what an in-process run left behind whose process has gone.

        Raises (when awaited):
            RunNotFoundError: no such run, or it is not kept any more.
        """
        settings = launching.settings_here(self._broker)
        program = self._program_for(settings)
        return launching.followed(
            RunId(run_id), program, launching.attaching(settings, program, RunId(run_id), resume=resume), None
        )

    def _start_event(self, given: StartEvent | None, kwargs: dict[str, Any]) -> StartEvent:
        if given is not None:
            if not isinstance(given, StartEvent):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ValueError("The 'start_event' argument must be an instance of 'StartEvent'.")
            if kwargs:
                logging.getLogger("broker_wf").warning(
                    "keyword arguments beside start_event are ignored: %s", ", ".join(kwargs)
                )
            return given
        start_class = self.start_event_class
        try:
            return start_class(**kwargs)
        except ValidationError as error:
            raise WorkflowRuntimeError(
                f"Failed creating a start event of type '{start_class.__name__}' with the keyword arguments: {kwargs}"
            ) from error

    def _steps(self) -> dict[StepName, StepSpec]:
        methods = steps_of(self)
        added = {StepName(name): function for name, function in self._added_steps().items()}
        return {
            name: step_spec(name, function, config)
            for name, function in {**methods, **added}.items()
            if (config := step_config(function)) is not None
        }

    def _validate_once(self) -> None:
        version = len(self._added_steps())
        if not self._disable_validation and (self._validated is None or self._validated[0] != version):
            self._validated = (version, self.validate())

    def _program_for(self, settings: Settings) -> Program:
        return self.program(is_open=settings.url is None)

    def _make_program(self, is_open: bool) -> Program:
        return programs.new_program(
            self.spec,
            self._registry(self.spec, is_open=is_open),
            configuration.current_settings(self._broker),
            self._resource_manager,
            verbose=self._verbose,
        )

    def _defining_class(self) -> type:
        """The class that is meant by the workflow's name: two under one name are refused."""
        return type(self)

    def _registry(self, spec: WorkflowSpec, *, is_open: bool) -> EventRegistry:
        """The classes that may travel with the workflow's runs.

        Instances share the open one: it takes in what it does not know, so it need not be made anew.
        """
        if not is_open:
            return self._new_registry(spec, is_open=False)
        kind = (*spec.names.items(), spec.state_type)
        found = type(self).open_registries.get(kind)
        if found is None:
            found = type(self).open_registries[kind] = self._new_registry(spec, is_open=True)
        return found

    def _new_registry(self, spec: WorkflowSpec, *, is_open: bool) -> EventRegistry:
        return programs.new_registry(spec, type(self).__module__, is_open=is_open)


def _no_taker(workflow: Workflow[Any, Any], event: StartEvent) -> WorkflowRuntimeError:
    given, wanted = type(event).__name__, workflow.start_event_class.__name__
    return WorkflowRuntimeError(f"No step of {type(workflow).__name__} takes a {given}: it begins with a {wanted}")


def _check_name(name: str) -> None:
    refused = sorted(_NAME_CHARACTERS_REFUSED.intersection(name))
    if not name or refused:
        raise WorkflowValidationError(
            f"workflow_name cannot be {name!r}: it must not be empty and must not hold {' '.join(map(repr, refused))}"
        )
