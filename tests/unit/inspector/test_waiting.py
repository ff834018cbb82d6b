"""Which question of an idle run is open."""

from __future__ import annotations

import pytest

from broker_wf.broker.feed import FeedEntry
from broker_wf.inspector.waiting import open_question


@pytest.mark.parametrize(
    ("asked_ms", "answered_ms", "is_open"),
    [
        ([], [5], None),
        ([10], [], 10),
        ([10], [9], 10),
        ([10], [11], None),
        ([10, 20], [11], 20),
        ([10, 20], [21], 20),
        ([10, 20], [11, 21], None),
        ([10, 20], [21, 22], None),
        ([10, 20, 30], [22, 21], 30),
    ],
)
def test_each_answer_takes_the_oldest_question_that_stood_then(
    asked_ms: list[int], answered_ms: list[int], is_open: int | None
) -> None:
    asked = [FeedEntry(seq=ms, name="Ask", payload=b"", step="ask", at_ms=ms) for ms in reversed(asked_ms)]
    found = open_question(asked, answered_ms)
    assert (found and found.at_ms) == is_open
