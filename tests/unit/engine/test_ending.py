"""Who gets what was executed ahead, when the lease of it comes too late for who has executed it."""

from __future__ import annotations

from typing import Any

import pytest

from broker_wf.engine.ending import _Adoption  # pyright: ignore[reportPrivateUsage]


class Told:
    """In the place of a context and its site."""

    def __init__(self) -> None:
        self.delivery = "the first"
        self.site = self
        self.heard: list[tuple[object, object]] = []

    def kept(self, done: object, following: object) -> None:
        self.heard.append((done, following))


@pytest.mark.parametrize("hears_first", [False, True])
def test_who_was_cancelled_leaves_it_to_the_worker_before_or_after_the_reply(hears_first: bool) -> None:
    context: Any = Told()
    following: Any = "the second"
    adoption = _Adoption(context)
    for act in (lambda: adoption.hear(following), adoption.decline)[:: 1 if hears_first else -1]:
        act()
    assert context.heard == [("the first", "the second")]


def test_who_still_waits_gets_it() -> None:
    context: Any = Told()
    following: Any = "the second"
    adoption = _Adoption(context)
    adoption.hear(following)
    assert (adoption.given, context.heard) == ("the second", [])
