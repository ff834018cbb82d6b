"""The coverage gate lets nothing through that it should not."""

from __future__ import annotations

from typing import Any

from tests.house.coverage_gate import WHOLE, judge


def reached(lines: int, of: int, *missing: int) -> dict[str, Any]:
    summary = {"num_statements": of, "num_branches": 0, "covered_lines": lines, "covered_branches": 0}
    return {"summary": summary, "missing_lines": list(missing), "missing_branches": []}


def house(**changed: dict[str, Any]) -> dict[str, Any]:
    """All of it reached, but what is changed."""
    files = {f"broker_wf/{name}/a.py": reached(100, 100) for name in WHOLE} | {"broker_wf/b.py": reached(300, 300)}
    return files | {f"broker_wf/{name}.py": one for name, one in changed.items()}


def test_what_is_reached_whole_passes() -> None:
    assert judge(house()).passed


def test_one_line_of_a_deciding_floor_is_too_much_and_is_named() -> None:
    verdict = judge(house() | {"broker_wf/core/a.py": reached(99, 100, 7)})
    assert not verdict.passed
    assert "  broker_wf/core/a.py: 7" in verdict.lines


def test_one_branch_of_a_deciding_floor_is_too_much_and_is_named() -> None:
    branchy = reached(100, 100) | {"missing_branches": [[3, -1], [4, 9]]}
    branchy["summary"] |= {"num_branches": 4, "covered_branches": 2}
    verdict = judge(house() | {"broker_wf/wire/a.py": branchy})
    assert not verdict.passed
    assert "  broker_wf/wire/a.py: 3->exit, 4->9" in verdict.lines


def test_a_twentieth_of_the_rest_may_be_missing() -> None:
    assert judge(house(b=reached(271, 300, *range(29)))).passed
    assert not judge(house(b=reached(250, 300, *range(50)))).passed


def test_what_was_not_measured_is_not_reached() -> None:
    assert not judge({}).passed
    assert not judge({"broker_wf/b.py": reached(300, 300)}).passed
