"""Files, functions, classes and scripts stay small enough to be read in one go."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import exemptions
from tests.house.source import (
    Function,
    classes,
    functions,
    library_files,
    name_of,
    python_files,
    script_files,
)

FILE_LINES = 400
FUNCTION_LINES = 50
SCRIPT_LINES = 80
PUBLIC_METHODS = 12

Measured = Callable[[], dict[str, int]]


def file_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def function_lines(function: Function) -> int:
    """Lines from `def` to the end, the docstring apart: what it promises is not what it does."""
    assert function.end_lineno is not None
    whole = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None or first.end_lineno is None:
        return whole
    return whole - (first.end_lineno - first.lineno + 1)


def script_lines(path: Path) -> int:
    """Lines of the body, without the header that the loader reads."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return sum(1 for line in lines if not line.startswith("--!"))


def public_methods(node: ast.ClassDef) -> int:
    names = {
        child.name
        for child in node.body
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and not child.name.startswith("_")
    }
    return len(names)


def long_files() -> dict[str, int]:
    return {name_of(p): n for p in python_files() if (n := file_lines(p)) > FILE_LINES}


def long_functions() -> dict[str, int]:
    return {
        f"{name_of(path)}::{name}": lines
        for path in python_files()
        for name, function in functions(path)
        if (lines := function_lines(function)) > FUNCTION_LINES
    }


def long_scripts() -> dict[str, int]:
    return {name_of(p): n for p in script_files() if (n := script_lines(p)) > SCRIPT_LINES}


def wide_classes() -> dict[str, int]:
    return {
        f"{name_of(path)}::{node.name}": count
        for path in library_files()
        for node in classes(path)
        if (count := public_methods(node)) > PUBLIC_METHODS
    }


RULES = [
    pytest.param(long_files, exemptions.LONG_FILES, id=f"{FILE_LINES} lines of a file"),
    pytest.param(long_functions, exemptions.LONG_FUNCTIONS, id=f"{FUNCTION_LINES} lines of a function"),
    pytest.param(long_scripts, exemptions.LONG_SCRIPTS, id=f"{SCRIPT_LINES} lines of a script"),
    pytest.param(wide_classes, exemptions.MANY_PUBLIC_METHODS, id=f"{PUBLIC_METHODS} methods of a class"),
]


@pytest.mark.parametrize(("measured", "exempt"), RULES)
def test_nothing_outgrows_its_room(measured: Measured, exempt: dict[str, str]) -> None:
    assert {name: size for name, size in measured().items() if name not in exempt} == {}


@pytest.mark.parametrize(("measured", "exempt"), RULES)
def test_no_exemption_of_size_is_idle(measured: Measured, exempt: dict[str, str]) -> None:
    assert set(exempt) - set(measured()) == set()
