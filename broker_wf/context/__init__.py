"""What steps and handlers use to reach their run."""

from __future__ import annotations

from importlib import import_module

_WHERE = {
    "BaseSerializer": "broker_wf.context.serializers",
    "Context": "broker_wf.context.context",
    "JsonPickleSerializer": "broker_wf.context.serializers",
    "JsonSerializer": "broker_wf.context.serializers",
    "PickleSerializer": "broker_wf.context.serializers",
}
__all__ = list(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: who has a context seldom saves one."""
    if name not in _WHERE:
        raise AttributeError(f"module 'broker_wf.context' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
