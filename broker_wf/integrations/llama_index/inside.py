"""What is read of a workflow of theirs that its class does not show."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from workflows import Workflow
from workflows.decorators import StepConfig
from workflows.resource import ResourceManager

_NOT_OF_A_NAME = r"[^\w.-]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class TheirArguments:
    """What their constructor was given."""

    timeout: float | None
    disable_validation: bool
    verbose: bool
    num_concurrent_runs: int | None
    skip_graph_checks: frozenset[str]
    resources: ResourceManager


def arguments_of(workflow: Workflow) -> TheirArguments:
    """The arguments that their workflow keeps."""
    held = cast("Mapping[str, object]", vars(workflow))
    return TheirArguments(
        timeout=cast("float | None", held["_timeout"]),
        disable_validation=bool(held["_disable_validation"]),
        verbose=bool(held["_verbose"]),
        num_concurrent_runs=cast("int | None", held["_num_concurrent_runs"]),
        skip_graph_checks=frozenset(cast("set[str]", held["_skip_graph_checks"])),
        resources=cast("ResourceManager", held["_resource_manager"]),
    )


def steps_of(workflow: Workflow) -> dict[str, tuple[Callable[..., object], StepConfig]]:
    """Functions and facts of their steps by name: methods are bound to the instance, free functions are not."""
    with warnings.catch_warnings():
        # It asks an agent, a pydantic model, for every attribute, those that are deprecated too.
        warnings.simplefilter("ignore", DeprecationWarning)
        steps = cast("Mapping[str, Callable[..., object]]", cast("Any", workflow)._get_steps())
    return {name: (function, cast("Any", function)._step_config) for name, function in steps.items()}


def name_of(workflow: Workflow) -> str:
    """What the workflow is known by if nobody says: agents are made of one class with many faces."""
    held = cast("Mapping[str, object]", vars(workflow))
    name = workflow.workflow_name
    is_ready_made = type(workflow).__module__.startswith("llama_index.")
    agent = held.get("name", held.get("root_agent"))
    explicit = held.get("_workflow_name") is not None
    if not (is_ready_made and isinstance(agent, str)) or explicit:
        return name
    return f"{name}.{re.sub(_NOT_OF_A_NAME, '-', agent)}"
