from __future__ import annotations

import pytest

from apps.search.fusion import reciprocal_ranks, spread


def test_the_fused_score_is_the_sum_of_reciprocal_ranks() -> None:
    # a: 1/61 + 1/62, b: 1/62 + 1/61 + 1/61, c: 1/63 + 1/62
    fused = reciprocal_ranks([["a", "b", "c"], ["b", "a"], ["b", "c"]])
    assert fused == pytest.approx({"b": 0.048915917, "a": 0.032522475, "c": 0.032002048}, rel=1e-6)
    assert list(fused) == ["b", "a", "c"]


def test_the_constant_says_how_much_the_first_places_differ() -> None:
    assert reciprocal_ranks([["a", "b"]], constant=0) == {"a": 1.0, "b": 0.5}


def test_ties_stay_in_the_order_first_seen() -> None:
    assert list(reciprocal_ranks([["x", "y"], ["y", "x"]])) == ["x", "y"]


def test_nothing_fused_is_nothing() -> None:
    assert reciprocal_ranks([[], []]) == {}


def test_no_group_takes_more_than_its_share() -> None:
    items = ["a1", "a2", "a3", "b1", "c1", "c2"]
    assert spread(items, lambda item: item[0], per_group=2, limit=4) == ["a1", "a2", "b1", "c1"]


def test_no_more_than_the_limit_is_taken() -> None:
    assert spread("abc", str, per_group=1, limit=2) == ["a", "b"]
