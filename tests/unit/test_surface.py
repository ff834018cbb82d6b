"""API.md section 0: every public name of the original is here, and is called the same way.

Names stand in the modules in which the original's documentation shows them. What differs on purpose is listed with its
reason; a line that nothing needs any more fails.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import get_origin

import pytest

PUBLIC = {
    "": "Workflow step Context catch_error",
    "events": "Event StartEvent StopEvent InputRequiredEvent HumanResponseEvent StepFailedEvent CollectionReleaseEvent "
    "WorkflowTimedOutEvent WorkflowCancelledEvent WorkflowFailedEvent IdleReleasedEvent InternalDispatchEvent "
    "WorkflowIdleEvent UnhandledEvent StepState StepStateChanged EventType DictLikeModel UnreconstructedException "
    "SerializableEvent SerializableOptionalEvent SerializableException SerializableOptionalException "
    "SerializableEventType",
    "errors": "WorkflowValidationError WorkflowConfigurationError WorkflowRuntimeError WorkflowTimeoutError "
    "WorkflowCancelledByUser WorkflowDone WorkflowStepDoesNotExistError ContextSerdeError ContextStateError",
    "decorators": "step catch_error StepConfig StepFunction WorkflowGraphCheck StepGraphCheck",
    "workflow": "Workflow WorkflowMeta",
    "context": "Context BaseSerializer JsonSerializer PickleSerializer",
    "context.serializers": "BaseSerializer JsonSerializer PickleSerializer JsonPickleSerializer",
    # The rest of this module is what the original's stores of other runtimes are made of.
    "context.state_store": "DictState InMemoryStateStore StateStore UnserializableKeyWarning MAX_DEPTH MODEL_T "
    "copy_state_for_edit create_cleared_state get_by_path infer_state_type merge_state set_by_path",
    "context.utils": "get_qualified_name import_module_from_qualified_name",
    "handler": "WorkflowHandler",
    "retry_policy": "RetryInfo RetryPolicy RetryCondition WaitStrategy StopCondition retry_policy retry_if_exception "
    "retry_if_exception_type retry_if_not_exception_type retry_unless_exception_type retry_if_exception_message "
    "retry_if_not_exception_message retry_if_exception_cause_type retry_any retry_all retry_always retry_never "
    "wait_fixed wait_none wait_exponential wait_incrementing wait_random wait_exponential_jitter "
    "wait_random_exponential wait_full_jitter wait_chain wait_combine stop_after_attempt stop_after_delay "
    "stop_before_delay stop_any stop_all stop_never ConstantDelayRetryPolicy ExponentialBackoffRetryPolicy",
    "resource": "Resource ResourceConfig ResourceManager ResourceDefinition ResourceDescriptor",
    "collect": "Collect Cardinality All Take",
    "representation": "get_workflow_representation WorkflowNodeBase WorkflowStepNode WorkflowEventNode "
    "WorkflowExternalNode WorkflowResourceNode WorkflowResourceConfigNode WorkflowGenericNode WorkflowGraphNode "
    "WorkflowGraphEdge WorkflowGraph",
    "testing": "WorkflowTestRunner",
    "testing.runner": "WorkflowTestRunner WorkflowTestResult",
    "types": "StopEventT RunResultT",
    "utils": "BUSY_WAIT_DELAY StepSignatureSpec get_steps_from_class get_steps_from_instance inspect_signature "
    "is_free_function validate_step_signature",
    "plugins": "BasicRuntime basic_runtime get_current_runtime",
    "runtime.types.results": "WaitingForEvent",
}
NAMES = [(module, name) for module, names in PUBLIC.items() for name in names.split()]

RESULT = "a subclass of StopEvent may declare a field `result`: `result=` is taken from the keywords then"
DIFFERENT = {
    "Workflow": "`broker=`, by keyword, names the server for one workflow",
    "step": "`num_workers` is cluster-wide and None by default; more options, by keyword",
    "StepConfig": "made by the decorator alone; holds more",
    "StopEvent": RESULT,
    "WorkflowTimedOutEvent": RESULT,
    "WorkflowCancelledEvent": RESULT,
    "WorkflowFailedEvent": RESULT,
    "IdleReleasedEvent": RESULT,
    "DictLikeModel.to_dict": "the arguments that mean nothing are private",
    "WorkflowMeta": "called by Python alone, by position",
    "WorkflowHandler": "made by `run` alone, over another engine",
    "WorkflowHandler.stream_events": "`after=`, by keyword, begins behind a sequence number",
    "Resource": "`scope=` shares it in the whole process",
    "ResourceDefinition": "a dataclass: takes its fields by position too",
    "ResourceDefinition.model_config": "a dataclass",
    "WorkflowTestRunner.run": "a start event of its own for each run instead of one that all share",
    "StepSignatureSpec": "what this library's decorator reads; another engine needs other facts",
    "StateStore.to_dict": "a run's state is read by awaiting; `Context.to_dict` writes it down",
    "InMemoryStateStore.checkpoint": "belongs to the journal of the original's runtime",
    "WaitingForEvent": "no Exception, so that `except Exception` lets it pass; made by the engine alone",
}


def pair(module: str, name: str) -> tuple[object, object]:
    path = f".{module}" if module else ""
    return tuple(getattr(importlib.import_module(root + path), name) for root in ("workflows", "broker_wf"))


def shape(candidate: object) -> object:
    """How something is called: names, kinds and defaults of its parameters; None for what has no signature."""
    try:
        parameters = inspect.signature(candidate).parameters.values()
    except (TypeError, ValueError):
        return None
    return [(p.name, p.kind, plain(p.default)) for p in parameters]


def plain(default: object) -> object:
    known = default is None or isinstance(default, (bool, int, float, str, tuple)) or inspect.isclass(default)
    return default if known else type(default).__name__


def callables(cls: type) -> Iterator[tuple[str, object]]:
    for name, value in vars(cls).items():
        if not name.startswith("_"):
            yield name, getattr(value, "__func__", value)


def differences(name: str, theirs: object, ours: object) -> Iterator[str]:
    if callable(theirs) and shape(theirs) != shape(ours):
        yield name
    named = inspect.isclass(theirs) and get_origin(theirs) is None  # Python 3.10 takes `type[Event]` for a class
    if not named or name in ("StepConfig", "StepSignatureSpec", "BasicRuntime"):
        return
    for member, value in callables(theirs):
        own = inspect.getattr_static(ours, member, None)
        absent = own is None and member not in getattr(ours, "__annotations__", {})
        if absent or (callable(value) and shape(value) != shape(getattr(own, "__func__", own))):
            yield f"{name}.{member}"


def all_differences() -> set[str]:
    return {found for module, name in NAMES for found in differences(name, *pair(module, name))}


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_of_the_original_is_here_and_is_called_alike(module: str, name: str) -> None:
    theirs, ours = pair(module, name)
    assert [found for found in differences(name, theirs, ours) if found not in DIFFERENT] == []


def test_no_difference_is_listed_that_is_not_there() -> None:
    assert DIFFERENT.keys() - all_differences() == set()


def test_what_the_original_exports_at_its_root_is_exported_here() -> None:
    ours = importlib.import_module("broker_wf")
    assert set(importlib.import_module("workflows").__all__) <= set(ours.__all__)


@pytest.mark.parametrize("module", PUBLIC)
def test_all_names_of_a_module_are_there(module: str) -> None:
    found = importlib.import_module(f"broker_wf.{module}".rstrip("."))
    assert [name for name in getattr(found, "__all__", ()) if not hasattr(found, name)] == []


@pytest.mark.parametrize("name", PUBLIC["errors"].split())
def test_an_error_has_no_base_but_exception(name: str) -> None:
    assert getattr(importlib.import_module("broker_wf.errors"), name).__bases__ == (Exception,)
