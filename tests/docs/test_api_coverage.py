"""docs/api_coverage.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
TABLE = TESTS.parent / "docs" / "api_coverage.md"
_TEST = re.compile(r"^  - `([\w/.]+)::(\w+)`$")


def missing(lines: list[str]) -> list[str]:
    """Tests that are named and not there, and behaviours without a test."""
    found: list[str] = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("- ") and not _TEST.match(following):
            found.append(line)
        if line.startswith("  "):
            named = _TEST.match(line)
            if named is None or not _is_there(*named.groups()):
                found.append(line)
    return found


def _is_there(file: str, name: str) -> bool:
    path = TESTS / file
    source = path.read_text(encoding="utf-8") if path.is_file() else ""
    return re.search(rf"^(async )?def {name}\(", source, re.MULTILINE) is not None


def test_each_behaviour_has_tests_and_each_of_them_is_there() -> None:
    assert missing(TABLE.read_text(encoding="utf-8").splitlines()) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["- a behaviour without a test", ""],
        ["- a behaviour", "  - `docs/test_api_coverage.py::test_that_is_not_there`"],
        ["- a behaviour", "  - `docs/no_such_file.py::test_each`"],
    ],
)
def test_what_is_missing_is_named(lines: list[str]) -> None:
    assert len(missing(lines)) == 1
