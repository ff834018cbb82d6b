"""Modules that are imported when they are first used: what a process needs only once it begins a run, or draws one."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from types import ModuleType


class Later:
    """Stands for a module until, and after, something in it is asked for.

    Beside it stands the import itself under ``if TYPE_CHECKING``, for who reads types and for who checks what imports
    what.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _module(self) -> ModuleType:
        return import_module(self._name)

    def __getattr__(self, attribute: str) -> object:
        return getattr(self._module, attribute)
