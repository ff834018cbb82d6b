"""Are the resources of the steps there? Asked before a run, where the workflow is validated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from broker_wf.core.ids import StepName
from broker_wf.core.spec import StepSpec
from broker_wf.errors import WorkflowValidationError
from broker_wf.resource import ResourceDescriptor, ResourceManager, config_faults

Steps = Mapping[StepName, StepSpec]


def config_problems(steps: Steps) -> list[str]:
    """Load every config resource, also those that other resources need, and say what is wrong with them."""
    problems: list[str] = []
    seen: list[object] = []
    for step in steps.values():
        for parameter, definition in step.resources:
            definition.resource.set_type_annotation(definition.type_annotation)
            for chain, descriptor in _with_needs(definition.resource, (), seen):
                where = f" ({' -> '.join(chain)})" if len(chain) > 1 else ""
                problems += [
                    f"In step '{step.name}', parameter '{parameter}'{where}: {fault}"
                    for fault in config_faults(descriptor)
                ]
    return problems


def refuse(what: str, problems: list[str]) -> None:
    """Raise WorkflowValidationError with a line for each problem, if there are any."""
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise WorkflowValidationError(f"{what} validation failed:{lines}")


def _with_needs(
    descriptor: ResourceDescriptor, above: tuple[str, ...], seen: list[object]
) -> Iterator[tuple[tuple[str, ...], ResourceDescriptor]]:
    maker = getattr(descriptor, "made_by", descriptor)
    if maker in seen:
        return
    seen.append(maker)
    chain = (*above, descriptor.name)
    yield chain, descriptor
    for _, needed, annotation in descriptor.get_dependencies():
        needed.set_type_annotation(annotation)
        yield from _with_needs(needed, chain, seen)


async def resource_problems(steps: Steps, manager: ResourceManager) -> list[str]:
    """Make every resource once and say which could not be made."""
    asked = [(step.name, *pair) for step in steps.values() for pair in step.resources]
    for _, _, definition in asked:
        definition.resource.set_type_annotation(definition.type_annotation)
    async with manager.resolution_scope():
        made = (manager.get(definition.resource) for _, _, definition in asked)
        results = await asyncio.gather(*made, return_exceptions=True)
    return [
        f"In step '{step}', parameter '{parameter}': {result}"
        for (step, parameter, _), result in zip(asked, results, strict=True)
        if isinstance(result, BaseException)
    ]
