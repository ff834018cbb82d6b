"""The project's own files, parsed once for all tests of the house."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "broker_wf"
FOLDERS_WITH_PYTHON = ("broker_wf", "workers", "tests")
TEXT_SUFFIXES = {"", ".cfg", ".conf", ".html", ".json", ".lua", ".md", ".py", ".sh", ".toml", ".txt", ".yml"}
NOT_OURS = {
    ".git", ".venv", ".secrets", ".hypothesis", ".pytest_cache", ".ruff_cache", ".import_linter_cache",
    "__pycache__", "build", "dist",
}  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """The path as the lists of exemptions spell it."""
    return path.relative_to(ROOT).as_posix()


@cache
def python_files() -> tuple[Path, ...]:
    """Every Python file of the project, library, containers and tests."""
    return tuple(sorted(p for folder in FOLDERS_WITH_PYTHON for p in (ROOT / folder).rglob("*.py")))


@cache
def library_files() -> tuple[Path, ...]:
    """Every Python file of the library."""
    return tuple(sorted(LIBRARY.rglob("*.py")))


@cache
def script_files() -> tuple[Path, ...]:
    """Every Lua script, without what `scripts/lib` lends to them."""
    return tuple(sorted(p for p in LIBRARY.rglob("*.lua") if p.parent.name != "lib"))


@cache
def text_files() -> tuple[Path, ...]:
    """Every text file of the project, whatever it is for."""
    found: list[Path] = []
    for entry in ROOT.rglob("*"):
        inside = entry.relative_to(ROOT).parts
        is_ours = not NOT_OURS.intersection(inside) and not entry.name.startswith(".coverage")
        if is_ours and entry.suffix in TEXT_SUFFIXES and entry.is_file():
            found.append(entry)
    return tuple(sorted(found))


@cache
def tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Each function of a file with the dotted name that it has in it."""
    yield from _functions(tree(path), "")


def classes(path: Path) -> Iterator[ast.ClassDef]:
    """Each class of a file, nested ones too."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, and every name that it takes out of one, dotted."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + child.name, child
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)
