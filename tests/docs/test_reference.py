"""docs/reference is what the code says now."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_printed_reference_is_that_of_the_code() -> None:
    printed = {file.name: file.read_text(encoding="utf-8") for file in (DOCS / "reference").glob("*.md")}
    said = runpy.run_path(str(DOCS / "print_reference.py"))["reference"]()
    stale = sorted(name for name in printed.keys() | said.keys() if printed.get(name) != said.get(name))
    assert stale == [], "run: make reference"
