"""The runtimes of llama-index-workflows are exchanged for other engines; here there is one engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BasicRuntime:
    """Says that runs execute as everywhere in this library. ``Workflow(runtime=…)`` takes it and changes nothing."""


basic_runtime = BasicRuntime()
"""The one there is."""


def get_current_runtime() -> BasicRuntime:
    """The runtime a workflow gets that names none."""
    return basic_runtime


__all__ = ["BasicRuntime", "basic_runtime", "get_current_runtime"]
