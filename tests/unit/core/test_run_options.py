from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from broker_wf.core.run_options import RunOptions, checked_options


@pytest.mark.parametrize(
    ("delay", "ms"),
    [
        (0, 0),
        (1.5, 1_500),
        (0.0001, 1),
        ("30", 30_000),
        ("30s", 30_000),
        ("250ms", 250),
        (" 5m ", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("PT5M", 300_000),
        ("P1DT2H3M4.5S", 93_784_500),
        ("P366D", 31_622_400_000),
        (timedelta(minutes=2), 120_000),
    ],
)
def test_a_delay_is_given_in_seconds_or_as_text_or_as_a_timedelta(delay: Any, ms: int) -> None:
    assert RunOptions(delay=delay).delay_ms == ms


@pytest.mark.parametrize(
    "delay",
    [-1, float("nan"), float("inf"), True, None, "", "soon", "-5s", "P", "PT", "5 m", "P367D", "1e3", "9" * 400],
)
def test_what_is_no_delay_is_refused(delay: Any) -> None:
    with pytest.raises(ValueError, match=r"delay cannot be .* give seconds"):
        RunOptions(delay=delay)


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({f"n{n}": "" for n in range(33)}, "32 at most, not 33"),
        ({"": "x"}, "'' is no name"),
        ({"a=b": "x"}, "'a=b' is no name"),
        ({"n" * 65: "x"}, "is no name"),
        ({"a\nb": "x"}, "is no name"),
        ({5: "x"}, "5 is no name"),
        ({"a": "v" * 257}, "'a' cannot be"),
        ({"a": "\ud800"}, "'a' cannot be"),
        ({"a": 5}, "'a' cannot be 5"),
    ],
)
def test_tags_that_no_run_can_have_are_refused(tags: Any, why: str) -> None:
    with pytest.raises(ValueError, match=f"tags: .*{why}"):
        RunOptions(tags=tags)


def test_tags_may_hold_any_printable_text() -> None:
    tags = {"kunde": "Zoë Ø 名前", "n" * 64: "v" * 256, "leer": "", "expr": "a=b"}
    assert RunOptions(tags=tags).tags == tags


def test_only_three_things_can_be_done_where_an_id_is_taken() -> None:
    with pytest.raises(ValueError, match="on_conflict cannot be 'replace': it is one of fail, attach, restart"):
        RunOptions(on_conflict="replace")  # pyright: ignore[reportArgumentType]


def test_options_are_given_as_such() -> None:
    assert checked_options(options := RunOptions()) is options
    with pytest.raises(TypeError, match="run_options must be a RunOptions, not dict"):
        checked_options({"tags": {}})
