"""LlamaIndex-style workflows that scale out over Redis Streams."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker_wf.configuration import configure
    from broker_wf.context import Context
    from broker_wf.decorators import catch_error, step
    from broker_wf.home import close_homes
    from broker_wf.settings import Settings
    from broker_wf.workflow import Workflow

__all__ = ["Context", "Settings", "Workflow", "catch_error", "close_homes", "configure", "step"]

_WHERE = {
    "Context": "broker_wf.context",
    "Settings": "broker_wf.settings",
    "Workflow": "broker_wf.workflow",
    "catch_error": "broker_wf.decorators",
    "close_homes": "broker_wf.home",
    "configure": "broker_wf.configuration",
    "step": "broker_wf.decorators",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'broker_wf' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
