"""``@step`` and ``@catch_error``: from a function to the facts of a step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, ParamSpec, Protocol, TypeVar, cast, overload

from broker_wf import events
from broker_wf.core.ids import StepName
from broker_wf.core.signature import EventClass, Signature, is_event_class, read_signature
from broker_wf.errors import WorkflowValidationError
from broker_wf.later import Later

if TYPE_CHECKING:
    from broker_wf.collect import Collect
    from broker_wf.core import spec, validation
    from broker_wf.resource import ResourceDefinition
    from broker_wf.retry_policy import RetryPolicy
else:  # A class of steps is written without what its instances are made of.
    spec, validation = Later("broker_wf.core.spec"), Later("broker_wf.core.validation")

WorkflowGraphCheck = Literal["reachability", "terminal_event", "dead_end"]
StepGraphCheck = Literal["reachability", "dead_end"]
StepRole = Literal["step", "catch_error"]

_FRAMES = 8

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])
R_co = TypeVar("R_co", covariant=True)


@dataclass
class StepConfig:
    """What the decorator found out; ``_step_config`` of the function, for others to read.

    Attributes:
        signature: the source of the fields that follow from it.
        collect_params: name and class of each of several event parameters; None for other steps.
        collection_param: name and member classes of a ``list[E]`` parameter; None for other steps.
        bare_return_types: what a step that returns lists may also return as it is.
    """

    signature: Signature
    accepted_events: list[Any]
    event_name: str
    return_types: list[Any]
    context_parameter: str | None
    num_workers: int | None
    retry_policy: RetryPolicy | None
    resources: list[ResourceDefinition]
    context_state_type: Any = None
    skip_graph_checks: list[StepGraphCheck] = field(default_factory=list[StepGraphCheck])
    collect_params: list[tuple[str, Any]] | None = None
    is_fan_out: bool = False
    bare_return_types: tuple[Any, ...] = ()
    collection_param: tuple[str, tuple[Any, ...]] | None = None
    collection_policy: Collect | None = None
    role: StepRole = "step"
    catch_error_for_steps: list[str] | None = None
    catch_error_max_recoveries: int = 1
    accept_event_subclasses: bool = False
    num_workers_per_run: int | None = None
    timeout: float | None = None
    atomic: bool = False


class StepFunction(Protocol, Generic[P, R_co]):
    """A function that a decorator has made a step."""

    _step_config: StepConfig
    __name__: str
    __qualname__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...  # noqa: D102


class TakesSteps(Protocol):
    """A workflow class, as far as a free function must know it."""

    @classmethod
    def add_step(cls, func: Any) -> None:
        """Make the function a step of the class."""
        ...


class _Options(NamedTuple):
    """Arguments of ``@step``."""

    num_workers: int | None
    num_workers_per_run: int | None
    retry_policy: RetryPolicy | None
    skip_graph_checks: list[StepGraphCheck]
    accept_event_subclasses: bool
    timeout: float | None
    atomic: bool

    def check(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            WorkflowValidationError: a value is out of its range.
        """
        for name in ("num_workers", "num_workers_per_run"):
            count = getattr(self, name)
            if count is not None and (not isinstance(count, int) or count <= 0):
                raise WorkflowValidationError(f"{name} must be an integer greater than 0")
        if self.timeout is not None and not self.timeout > 0:
            raise WorkflowValidationError("timeout must be a number of seconds greater than 0, or None")
        if self.skip_graph_checks:
            validation.check_graph_check_names(self.skip_graph_checks)


@overload
def step(func: F, /) -> F: ...


@overload
def step(
    *,
    workflow: type[TakesSteps] | None = None,
    num_workers: int | None = None,
    retry_policy: RetryPolicy | None = None,
    skip_graph_checks: list[StepGraphCheck] | None = None,
    accept_event_subclasses: bool = False,
    num_workers_per_run: int | None = None,
    timeout: float | None = None,
    atomic: bool = False,
) -> Callable[[F], F]: ...


def step(
    func: F | None = None,
    *,
    workflow: type[TakesSteps] | None = None,
    num_workers: int | None = None,
    retry_policy: RetryPolicy | None = None,
    skip_graph_checks: list[StepGraphCheck] | None = None,
    accept_event_subclasses: bool = False,
    num_workers_per_run: int | None = None,
    timeout: float | None = None,
    atomic: bool = False,
) -> Callable[[F], F] | F:
    """Make a method, or with ``workflow=`` a function, a step.

    Args:
        func: where the decorator is used without parentheses.
        workflow: the class that a free function becomes a step of; it is called without ``self``.
        num_workers: how many deliveries of the step execute at one time in the whole cluster; None: as many
            as the workers have room for.
        retry_policy: whether and when to try again after an exception; None: never.
        skip_graph_checks: checks that leave this step out.
        accept_event_subclasses: take events of derived classes too.
        num_workers_per_run: how many of them may be of one run; None: any number.
        timeout: seconds after which an execution is stopped and counts as failed; None: never.
        atomic: hold what the step sends, writes and stores until it has returned.

    Raises:
        WorkflowValidationError: the signature is not that of a step, or an argument is out of its range.
    """
    options = _Options(
        num_workers=num_workers,
        num_workers_per_run=num_workers_per_run,
        retry_policy=retry_policy,
        skip_graph_checks=list(skip_graph_checks or ()),
        accept_event_subclasses=accept_event_subclasses,
        timeout=timeout,
        atomic=atomic,
    )
    options.check()

    def decorate(function: F) -> F:
        _make_step(function, options, _scopes(function, inspect.currentframe()))
        if is_free_function(function.__qualname__):
            if workflow is None:
                raise WorkflowValidationError(
                    f"To decorate {function.__name__} please pass a workflow class to the @step decorator."
                )
            workflow.add_step(function)
        return function

    return decorate if func is None else decorate(func)


@overload
def catch_error(func: F, /) -> F: ...


@overload
def catch_error(*, for_steps: list[str] | None = None, max_recoveries: int = 1) -> Callable[[F], F]: ...


def catch_error(
    func: F | None = None, *, for_steps: list[str] | None = None, max_recoveries: int = 1
) -> Callable[[F], F] | F:
    """Make a method the handler of steps that have no attempts left.

    Args:
        func: where the decorator is used without parentheses.
        for_steps: names of the steps it covers; None: all that no other handler names.
        max_recoveries: how often it may be called for what came of one event.

    Raises:
        WorkflowValidationError: it does not take a StepFailedEvent, or an argument is out of its range.
    """
    if not isinstance(max_recoveries, int) or max_recoveries < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WorkflowValidationError("@catch_error max_recoveries must be an integer >= 1")
    if for_steps is not None and not _is_list_of_names(for_steps):
        raise WorkflowValidationError("@catch_error for_steps must be None or a list of step name strings")

    def decorate(function: F) -> F:
        config = _make_step(function, _HANDLER, _scopes(function, inspect.currentframe()))
        if config.accepted_events != [events.StepFailedEvent]:
            raise WorkflowValidationError(
                f"@catch_error handler '{function.__name__}' must accept StepFailedEvent as its event parameter."
            )
        config.role = "catch_error"
        config.catch_error_for_steps = None if for_steps is None else list(for_steps)
        config.catch_error_max_recoveries = max_recoveries
        return function

    return decorate if func is None else decorate(func)


_HANDLER = _Options(
    num_workers=None,
    num_workers_per_run=1,
    retry_policy=None,
    skip_graph_checks=[],
    accept_event_subclasses=False,
    timeout=None,
    atomic=False,
)


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in cast("list[object]", value))


def _make_step(function: Callable[..., Any], options: _Options, scopes: tuple[Mapping[str, object], ...]) -> StepConfig:
    signature = read_signature(function, scopes)
    returns = signature.returns
    slots = signature.slots
    several = len(slots) > 1
    given = [*dict.fromkeys((*returns.bare, *returns.listed))]
    config = StepConfig(
        signature=signature,
        accepted_events=[t for slot in slots for t in slot.types],
        event_name=slots[0].parameter,
        return_types=given or [type(None)],
        context_parameter=signature.context_parameter,
        num_workers=options.num_workers,
        retry_policy=options.retry_policy,
        resources=list(signature.resources),
        context_state_type=signature.state_type,
        skip_graph_checks=options.skip_graph_checks,
        collect_params=[(s.parameter, s.types[0]) for s in slots] if several else None,
        is_fan_out=bool(returns.listed),
        bare_return_types=returns.bare,
        collection_param=(slots[0].parameter, slots[0].types) if signature.collect else None,
        collection_policy=signature.collect,
        accept_event_subclasses=options.accept_event_subclasses,
        num_workers_per_run=options.num_workers_per_run,
        timeout=options.timeout,
        atomic=options.atomic,
    )
    vars(function)["_step_config"] = config
    return config


def _scopes(function: Callable[..., object], here: FrameType | None) -> tuple[Mapping[str, object], ...]:
    """Names around the decorated function: those of its own scope, and as a second try of all its callers.

    A function may be decorated in a function that was called by the one where its types are defined.
    """
    frame = here
    while frame is not None and frame.f_globals is globals():
        frame = frame.f_back
    lexical: dict[str, object] = {}
    wide: dict[str, object] = {}
    own = cast("Mapping[str, object]", getattr(function, "__globals__", {}))
    is_lexical = True
    for _ in range(_FRAMES):
        if frame is None or frame.f_code.co_name == "<module>":
            break
        for name, value in frame.f_locals.items():
            if is_lexical:
                lexical.setdefault(name, value)
            if name not in own:
                wide.setdefault(name, value)
        is_lexical = is_lexical and "__qualname__" in frame.f_locals
        frame = frame.f_back
    return lexical, {**wide, **lexical}


def is_free_function(qualname: str) -> bool:
    """Whether the name is that of a function, at module level or in another function, and not of a method.

    Raises:
        ValueError: the name is empty.
    """
    if not qualname:
        raise ValueError("The qualified name cannot be empty")
    outer = qualname.rpartition(".")[0]
    return not outer or outer.endswith("<locals>")


def step_config(candidate: object) -> StepConfig | None:
    """Return what the decorator found out; None for what is no step."""
    config = getattr(candidate, "_step_config", None)
    return config if isinstance(config, StepConfig) else None


def steps_of(workflow: object) -> dict[StepName, Callable[..., object]]:
    """Return the steps that are methods of a workflow class or instance, bound if it is an instance.

    They come in order of definition, those of base classes first. A method that a subclass replaces by one
    without decorator is no step.
    """
    cls = workflow if isinstance(workflow, type) else type(workflow)
    names = dict.fromkeys(
        name for base in reversed(cls.__mro__) for name, value in vars(base).items() if step_config(value)
    )
    found = {StepName(name): getattr(workflow, name, None) for name in names}
    return {n: cast("Callable[..., object]", f) for n, f in found.items() if step_config(f) is not None}


def step_spec(name: str, function: Callable[..., object], config: StepConfig) -> spec.StepSpec:
    """Turn what the decorator found out into the facts the engine works with.

    Args:
        name: of the step in its workflow.
        function: what is called: bound to an instance, unless it is a free function.
        config: as the decorator left it.
    """
    signature = config.signature
    returns = signature.returns
    handled = config.catch_error_for_steps
    foreign = (t for t in (*returns.bare, *returns.listed) if not is_event_class(t))
    return spec.StepSpec(
        name=StepName(name),
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        intake=_intake(signature),
        slots=signature.slots,
        cardinality=signature.collect.cardinality if signature.collect else None,
        returns=_only_events(returns.bare),
        list_returns=_only_events(returns.listed),
        returns_none=returns.none,
        foreign_returns=tuple(getattr(t, "__name__", str(t)) for t in foreign),
        context_parameter=signature.context_parameter,
        state_type=signature.state_type,
        resources=tuple((d.name, d) for d in signature.resources),
        num_workers=config.num_workers,
        num_workers_per_run=config.num_workers_per_run,
        retry_policy=config.retry_policy,
        timeout_ms=None if config.timeout is None else max(1, round(config.timeout * 1000)),
        atomic=config.atomic,
        accept_event_subclasses=config.accept_event_subclasses,
        skip_graph_checks=frozenset(config.skip_graph_checks),
        catches=config.role == "catch_error",
        handles=None if handled is None else tuple(map(StepName, handled)),
        max_recoveries=config.catch_error_max_recoveries,
    )


def _intake(signature: Signature) -> spec.Intake:
    if signature.collect is not None:
        return spec.Intake.COLLECTION
    return spec.Intake.SLOTS if len(signature.slots) > 1 else spec.Intake.SINGLE


def _only_events(types: tuple[object, ...]) -> tuple[EventClass, ...]:
    return cast("tuple[EventClass, ...]", tuple(t for t in types if is_event_class(t)))
