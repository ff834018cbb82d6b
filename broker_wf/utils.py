"""Names that llama-index-workflows keeps in its module of this name, for code that imports them from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from broker_wf.core.signature import Signature as StepSignatureSpec
from broker_wf.core.signature import read_signature
from broker_wf.decorators import is_free_function, steps_of
from broker_wf.errors import WorkflowValidationError

BUSY_WAIT_DELAY = 0.01
"""Seconds; nothing here waits so."""


def inspect_signature(fn: Callable[..., object], localns: Mapping[str, object] | None = None) -> StepSignatureSpec:
    """Read and check the signature of a step.

    Raises:
        TypeError: it cannot be called.
        WorkflowValidationError: it is not the signature of a step.
    """
    if not callable(fn):
        raise TypeError(f"Expected a callable object, got {type(fn).__name__}")
    return read_signature(fn, ({**(localns or {})},))


def validate_step_signature(spec: StepSignatureSpec) -> None:
    """Check what ``inspect_signature`` has read; it has refused whatever is wrong already.

    Raises:
        WorkflowValidationError: it takes no event.
    """
    if not spec.slots:
        raise WorkflowValidationError("Step signature must have at least one parameter annotated as type Event")


def get_steps_from_class(_class: object) -> dict[str, Callable[..., object]]:
    """The methods of a class that are steps, by name."""
    return {str(name): function for name, function in steps_of(_class).items()}


def get_steps_from_instance(workflow: object) -> dict[str, Callable[..., object]]:
    """The methods of an instance that are steps, by name, bound to it."""
    return {str(name): function for name, function in steps_of(workflow).items()}


__all__ = [
    "BUSY_WAIT_DELAY",
    "StepSignatureSpec",
    "get_steps_from_class",
    "get_steps_from_instance",
    "inspect_signature",
    "is_free_function",
    "validate_step_signature",
]
