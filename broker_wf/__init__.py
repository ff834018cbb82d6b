"""LlamaIndex-style workflows that scale out over Redis Streams."""

from __future__ import annotations

from importlib import import_module

_WHERE = {
    "Context": "broker_wf.context",
    "RunOptions": "broker_wf.core.run_options",
    "RunOutcome": "broker_wf.many",
    "Settings": "broker_wf.settings",
    "Workflow": "broker_wf.workflow",
    "__version__": "broker_wf._version",
    "catch_error": "broker_wf.decorators",
    "close_homes": "broker_wf.home",
    "configure": "broker_wf.configuration",
    "map": "broker_wf.many",
    "open_inspector": "broker_wf.inspecting",
    "register": "broker_wf.wire.known",
    "run_many": "broker_wf.many",
    "step": "broker_wf.decorators",
}

# A star import must not take the place of the built-in ``map``.
__all__ = [name for name in _WHERE if name != "map"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that ``import broker_wf`` costs nothing."""
    if name not in _WHERE:
        raise AttributeError(f"module 'broker_wf' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
