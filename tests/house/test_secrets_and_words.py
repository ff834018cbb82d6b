"""What one module knows no other one does, and the words that the project uses and does not use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import exemptions
from tests.house.source import (
    ROOT,
    classes,
    imported,
    library_files,
    name_of,
    python_files,
    script_files,
    text_files,
    tree,
)

CONNECTION = "broker_wf/broker/connection.py"
PICKLE_SERIALIZER = "broker_wf/context/pickle_serializer.py"
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
EMPTY_CLASS_NAME = re.compile(r"(Utils?|Helpers?|Manager|Mixin)$")
BANNER = re.compile(r"^\s*(#|--)\s*([-=*#~─═])\2{3,}")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\s*\(#\d+\))")
# Where somebody's checkout or home lies is nobody else's business. Containers and the usual places are fine.
SOMEBODYS_PATH = re.compile(r"(?<![\w.-])/(home|Users|root)/[a-z]", re.IGNORECASE)
OUTSIDE = re.compile(r"(?<![\w./])\.\./shared\b|(?<![\w./-])shared/(docker|hooks|spike)\b")
THIS_FILE = Path(__file__)


def lines_with(pattern: re.Pattern[str], paths: tuple[Path, ...]) -> Iterator[str]:
    for path in paths:
        if path == THIS_FILE:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(line):
                yield f"{name_of(path)}:{number}: {line.strip()}"


def modules_importing(top_level: str) -> set[str]:
    return {
        name_of(path) for path in library_files() if any(module.split(".")[0] == top_level for module in imported(path))
    }


def test_only_the_connection_imports_redis() -> None:
    assert modules_importing("redis") <= {CONNECTION}


@pytest.mark.parametrize("module", ["pickle", "cloudpickle", "dill", "marshal", "shelve"])
def test_nothing_unpickles_but_what_users_ask_to(module: str) -> None:
    assert modules_importing(module) <= ({PICKLE_SERIALIZER} if module == "pickle" else set())


def test_the_library_makes_no_serializer_that_unpickles() -> None:
    users = {name_of(p) for p in library_files() if "broker_wf.context.pickle_serializer" in imported(p)}
    assert users == {"broker_wf/context/serializers.py"}


def modules_with_any() -> set[str]:
    return {name_of(path) for path in library_files() if "typing.Any" in imported(path)}


def test_any_stands_only_where_it_is_owed() -> None:
    assert modules_with_any() - set(exemptions.ANY) == set()


def test_no_permission_for_any_is_idle() -> None:
    assert set(exemptions.ANY) - modules_with_any() == set()


def test_no_import_hides_from_the_checker() -> None:
    assert "exclude_type_checking_imports" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def asks_for_the_checker(node: ast.AST) -> bool:
    return isinstance(node, ast.If | ast.IfExp) and "TYPE_CHECKING" in ast.unparse(node.test)


def test_only_what_is_imported_later_is_imported_for_types_alone() -> None:
    for_types = {name_of(p) for p in library_files() if any(map(asks_for_the_checker, ast.walk(tree(p))))}
    later = {name_of(p) for p in library_files() if "broker_wf.later.Later" in imported(p)}
    assert for_types == later == set(exemptions.LATER)


def test_no_closure_writes_what_another_function_owns() -> None:
    writers = [
        f"{name_of(path)}:{node.lineno}"
        for path in library_files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Nonlocal)
    ]
    assert writers == []


def test_no_module_is_a_drawer_for_everything() -> None:
    named = {name_of(p) for p in python_files() if EMPTY_NAMES & {p.stem.strip("_"), p.parent.name}}
    assert named == set(exemptions.EMPTY_MODULE_NAMES)


def classes_named_for_nothing() -> set[str]:
    return {
        f"{name_of(path)}::{node.name}"
        for path in library_files()
        for node in classes(path)
        if EMPTY_CLASS_NAME.search(node.name)
    }


def test_no_class_is_named_for_nothing() -> None:
    assert classes_named_for_nothing() - set(exemptions.CLASS_NAMES) == set()


def test_no_permission_for_a_class_name_is_idle() -> None:
    assert set(exemptions.CLASS_NAMES) - classes_named_for_nothing() == set()


def test_no_banner_divides_a_file() -> None:
    assert list(lines_with(BANNER, python_files() + script_files())) == []


def test_what_is_unfinished_names_its_issue() -> None:
    assert list(lines_with(UNFINISHED, python_files() + script_files())) == []


def test_no_file_names_somebodys_machine() -> None:
    assert list(lines_with(SOMEBODYS_PATH, text_files())) == []


def test_only_the_gate_looks_outside_the_project() -> None:
    found = [line for line in lines_with(OUTSIDE, text_files()) if not line.startswith(".ci/run:")]
    assert found == []


def test_the_library_is_typed_for_those_who_use_it() -> None:
    assert (ROOT / "broker_wf" / "py.typed").exists()
