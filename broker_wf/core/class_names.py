"""What a class is called where it must be found again."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import cast


def qualified_name(cls: type) -> str:
    """``module.Qualname``, with the importable name of the module that runs as ``__main__``."""
    return f"{_module_of(cls)}.{cls.__qualname__}"


def class_path(cls: type) -> str:
    """``module:Qualname``, with the importable name of the module that runs as ``__main__``."""
    return f"{_module_of(cls)}:{cls.__qualname__}"


def _module_of(cls: type) -> str:
    if cls.__module__ != "__main__":
        return cls.__module__
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return cast("str", spec.name)
    file = cast("str | None", getattr(main, "__file__", None))
    return PurePath(file).stem if file else "__main__"
