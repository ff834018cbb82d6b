"""From a workflow's facts to its program: what may travel with its runs, and how."""

from __future__ import annotations

import sys

from broker_wf.core.routing import Router
from broker_wf.core.spec import WorkflowSpec
from broker_wf.engine.program import Program
from broker_wf.resource import ResourceManager
from broker_wf.settings import Settings
from broker_wf.wire.known import registered, values_defined_in
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.remote_errors import known_errors
from broker_wf.wire.signing import codec_for


def new_program(
    spec: WorkflowSpec, registry: EventRegistry, settings: Settings, resources: ResourceManager, *, verbose: bool
) -> Program:
    """What a worker needs to execute the steps."""
    limits = Limits(max_bytes=settings.max_bytes, compress_from=settings.compress_from, blob_from=settings.blob_from)
    return Program(
        spec=spec,
        router=Router(spec),
        codec=codec_for(registry, limits, settings.signing_key, settings.namespace),
        resources=resources,
        verbose=verbose,
    )


def new_registry(spec: WorkflowSpec, module: str, *, is_open: bool) -> EventRegistry:
    """The classes that may travel with the runs of a workflow which this module defines."""
    state = () if spec.state_type is None else (spec.state_type,)
    roots = (*state, *values_defined_in([module]))
    registry = EventRegistry(spec.names, roots=roots, modules=[module], is_open=is_open)
    registry.errors.update(known_errors(_loaded_beside(module)))
    for cls in registered():
        registry.register(cls)
    return registry


def _loaded_beside(module: str) -> list[str]:
    """The module, and what is loaded of its package: where exceptions are looked for.

    Events are not: the wire's name of one must not depend on what a process has imported.
    """
    package = module.rpartition(".")[0]
    beside = [name for name in list(sys.modules) if package and (name == package or name.startswith(f"{package}."))]
    return [module, *beside]
