"""The documentation every Python installation carries: the library's docstrings, and the language topics.

Sources in Python are parsed, never imported; the modules written in C are asked in another process.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter

from apps.search.documents import Document

_LEFT_OUT_NAMES = """
antigravity distutils encodings ensurepip idlelib lib2to3 pydoc_data test tests this tkinter turtle
turtledemo __hello__ __phello__
"""
_LEFT_OUT = frozenset(_LEFT_OUT_NAMES.split())
"""Not searched: jokes, tests, tables, and what distributions ship in packages of their own."""

_PUBLIC_NAME = {"_pydecimal": "decimal", "_pydatetime": "datetime", "_collections_abc": "collections.abc"}
"""Private modules in Python that hold a public module's documentation."""

_parsing = threading.Lock()
"""Held to parse. CPython (seen in 3.11.7) counts the depth of a tree under construction per interpreter, not per
thread: where the garbage collector lets a second thread in, one of two parsers ends with a SystemError."""

_RECORDS = TypeAdapter(list[tuple[str, str]])
_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def module_files() -> Iterator[tuple[str, Path]]:
    """Name and file of every public library module written in Python, sorted by name."""
    library = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names):
        if name in _LEFT_OUT or (name.startswith("_") and name not in _PUBLIC_NAME and name != "__future__"):
            continue
        if (library / f"{name}.py").is_file():
            yield name, library / f"{name}.py"
        elif (library / name).is_dir():
            yield from _package_files(library, library / name)


def _package_files(library: Path, package: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(library).with_suffix("").parts
        if not any(part in _LEFT_OUT or part.startswith("_") for part in parts[1:-1]) and parts[-1] != "__main__":
            yield ".".join(parts), file


@lru_cache(maxsize=1)
def c_module_texts() -> dict[str, str]:
    """What the modules in C say of themselves, by public name; opaque texts, read by ``c_module_documents``.

    They are asked in an interpreter of their own (see ``c_docs``), once per process.

    Raises:
        subprocess.CalledProcessError: that interpreter failed.
    """
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("c_docs.py"))]
    printed = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True).stdout
    records = TypeAdapter(dict[str, list[tuple[str, str]]]).validate_json(printed)
    return {name: _RECORDS.dump_json(found).decode() for name, found in records.items()}


def topic_texts() -> dict[str, str]:
    """The chapters of the language reference behind ``help("topics")``; empty if not installed."""
    try:
        module = importlib.import_module("pydoc_data.topics")
    except ImportError:
        return {}
    topics: dict[str, str] = module.topics
    return topics


def module_documents(name: str, content: bytes) -> Iterator[Document]:
    """Every documented module, class and function a source in Python defines; none if it does not parse."""
    try:
        with _parsing:
            tree = ast.parse(content)
    except SyntaxError:
        return
    name = _public_name(name)
    text = ast.get_docstring(tree) or ""
    about = text[:300].partition("\n\n")[0]
    if text:
        yield Document(title=name, source=name, about=about, text=text)
    for title, definition in _definitions(name, tree.body):
        docstring = ast.get_docstring(definition)
        if docstring:
            text = f"{_signature(definition)}\n\n{docstring}"
            yield Document(title=title, source=name, about=about, text=text)


def _public_name(name: str) -> str:
    """Under which name the contents are used: a private module's belong to its package."""
    package, _, last = name.rpartition(".")
    if package and last.startswith("_"):
        return package
    return _PUBLIC_NAME.get(name, name)


def _definitions(prefix: str, body: list[ast.stmt]) -> Iterator[tuple[str, _Definition]]:
    for node in body:
        if isinstance(node, _Definition):
            if node.name.startswith("_"):
                continue
            title = f"{prefix}.{node.name}"
            yield title, node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(title, node.body)
        elif isinstance(node, ast.If | ast.Try):
            yield from _definitions(prefix, [*node.body, *node.orelse])


def _signature(definition: _Definition) -> str:
    if isinstance(definition, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in definition.bases)
        return f"class {definition.name}({bases})" if bases else f"class {definition.name}"
    return f"{definition.name}({ast.unparse(definition.args)})"


def c_module_documents(name: str, content: bytes) -> Iterator[Document]:
    """The documents in a text of ``c_module_texts``."""
    records = _RECORDS.validate_json(content)
    about = next((_first_line(text) for title, text in records if title == name), "")
    for title, text in records:
        if text.strip():
            yield Document(title=title, source=name, about=about, text=text)


def topic_document(name: str, text: str) -> Document:
    """A chapter of the language reference."""
    title = next((line.strip() for line in text.splitlines() if line.strip()), name)
    return Document(title=title, source=f"topic {name}", about=name, text=text)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
