"""Many rank lists become one, by reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

RANK_CONSTANT = 60
"""The paper's k: how little the first places of a list differ from the next."""

_Key = TypeVar("_Key", bound=Hashable)
_Item = TypeVar("_Item")


def reciprocal_ranks(lists: Iterable[Sequence[_Key]], constant: int = RANK_CONSTANT) -> dict[_Key, float]:
    """The sum over all lists of 1 / (constant + rank), rank from 1; best first, ties as first seen."""
    scores: defaultdict[_Key, float] = defaultdict(float)
    for ranking in lists:
        for rank, key in enumerate(ranking, start=1):
            scores[key] += 1 / (constant + rank)
    return dict(sorted(scores.items(), key=lambda entry: -entry[1]))


def spread(items: Iterable[_Item], group: Callable[[_Item], str], per_group: int, limit: int) -> list[_Item]:
    """The first ``limit`` items in order, of which at most ``per_group`` share a group."""
    taken: defaultdict[str, int] = defaultdict(int)
    chosen: list[_Item] = []
    for item in items:
        if len(chosen) == limit:
            break
        if taken[group(item)] < per_group:
            taken[group(item)] += 1
            chosen.append(item)
    return chosen
