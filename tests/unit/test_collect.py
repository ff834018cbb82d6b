from __future__ import annotations

import pytest

from broker_wf.collect import All, Collect, Take


def test_collecting_means_all_unless_said_otherwise() -> None:
    assert Collect() == Collect(All())


@pytest.mark.parametrize("n", [0, -1, 1.5, "2"])
def test_take_wants_a_count(n: object) -> None:
    with pytest.raises(ValueError, match="n >= 1"):
        Take(n)  # pyright: ignore[reportArgumentType]
