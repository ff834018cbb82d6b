"""A script that prints, as JSON, what the modules in C say of themselves; it needs the library only.

Runs in an interpreter of its own (``python -I -S c_docs.py``): in a process that does other things these
modules may have been patched or added to, and two machines would disagree about the same documentation.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from types import ModuleType

Record = tuple[str, str]
"""Title and text."""

_PUBLIC = """
array atexit binascii builtins cmath errno fcntl gc grp itertools marshal math mmap pwd resource select sys
time unicodedata zlib
"""
_PRIVATE = """
bz2 codecs collections contextvars csv functools hashlib io locale lzma pickle queue random signal socket
sqlite3 ssl stat struct tracemalloc warnings weakref
"""
_PUBLIC_NAMES = {
    **{name: name for name in _PUBLIC.split()},
    **{f"_{name}": name for name in _PRIVATE.split()},
    "posix": "os",
}
"""Modules in C, and the public module under whose name their contents are known."""

_BOUND = re.compile(r"^\(\$\w+(, /)?(, )?")
"""How a signature in C begins with the parameter that no caller gives."""


def main() -> None:
    """Print ``{public name: [[title, text], …]}``; modules this installation lacks are left out."""
    found: dict[str, list[Record]] = {}
    for name, public in sorted(_PUBLIC_NAMES.items()):
        module = _import(name)
        if module is not None:
            found.setdefault(public, []).extend(_records(module, name, public))
    json.dump(found, sys.stdout)


def _records(module: ModuleType, name: str, public: str) -> Iterator[Record]:
    if name == public:  # of the others, the half in Python tells what the module is for
        yield public, module.__doc__ or ""
    prefix = "" if public == "builtins" else f"{public}."
    for member, value in sorted(vars(module).items()):
        if _is_documented(member, value):
            yield _record(prefix + member, member, value)
            if inspect.isclass(value):
                yield from _method_records(prefix + member, value)


def _method_records(prefix: str, owner: type) -> Iterator[Record]:
    for name, value in sorted(vars(owner).items()):
        if _is_documented(name, value) and not inspect.isclass(value):
            yield _record(f"{prefix}.{name}", name, value)


def _record(title: str, name: str, value: object) -> Record:
    signature = getattr(value, "__text_signature__", None)
    head = f"{name}{_BOUND.sub('(', signature)}" if signature else name
    return title, f"{head}\n\n{inspect.cleandoc(value.__doc__ or '')}"


def _is_documented(name: str, value: object) -> bool:
    if name.startswith("_") or not isinstance(getattr(value, "__doc__", None), str):
        return False
    return inspect.isclass(value) or inspect.isroutine(value)


def _import(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


if __name__ == "__main__":
    main()
