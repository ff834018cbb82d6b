"""What the tests must reach: every line and branch of the floors that decide, nearly all of the rest.

``python tests/house/coverage_gate.py`` reads the ``.coverage`` of a run of the tests, prints what is missing, and ends
with 1 if that is too much.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
from coverage.exceptions import CoverageException

ROOT = Path(__file__).resolve().parents[2]
WHOLE = ("core", "wire", "engine")
"""Packages of which nothing may be left out."""
REST_PERCENT = 95.0

Files = Mapping[str, Any]
"""Path from the root → what coverage's JSON report says of the file."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is printed, and whether it is good enough."""

    lines: list[str]
    passed: bool


def judge(files: Files) -> Verdict:
    """Hold what was reached against what is wanted."""
    parts = {f"broker_wf/{name}": (f"broker_wf/{name}/", 100.0) for name in WHOLE}
    parts["broker_wf"] = ("broker_wf/", REST_PERCENT)
    lines: list[str] = []
    passed = True
    for name, (prefix, wanted) in parts.items():
        part = {path: one for path, one in files.items() if path.startswith(prefix)}
        reached = percent(part)
        lines.append(f"coverage of {name}: {reached:.2f} % of lines and branches, {wanted:.0f} wanted")
        if reached < wanted:
            passed = False
            lines += gaps(part)
    return Verdict(lines, passed)


def percent(files: Files) -> float:
    """Lines and branches reached, of all there are. Nothing measured is nothing reached."""
    summaries = [one["summary"] for one in files.values()]
    every = sum(one["num_statements"] + one["num_branches"] for one in summaries)
    reached = sum(one["covered_lines"] + one["covered_branches"] for one in summaries)
    return 100.0 * reached / every if every else 0.0


def gaps(files: Files) -> list[str]:
    """What is missing, one line a file."""
    found: list[str] = []
    for path, one in sorted(files.items()):
        branches = [f"{here}->{'exit' if there < 0 else there}" for here, there in one["missing_branches"]]
        missing = ", ".join([*map(str, one["missing_lines"]), *branches])
        if missing:
            found.append(f"  {path}: {missing}")
    return found


def measured() -> Files:
    """The report of the last run.

    Raises:
        CoverageException: there was none.
    """
    data = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"), data_file=str(ROOT / ".coverage"))
    data.load()
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        data.json_report(outfile=report.name)
        files: Files = json.loads(Path(report.name).read_text(encoding="utf-8"))["files"]
    return files


def main() -> int:
    """Print the verdict; 1 if a part is below what it must reach."""
    try:
        verdict = judge(measured())
    except CoverageException as error:
        print(f"coverage: {error}; run the tests with --cov first")
        return 1
    print(*verdict.lines, sep="\n")
    return int(not verdict.passed)


if __name__ == "__main__":
    sys.exit(main())
