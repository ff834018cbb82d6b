"""When a step that takes ``list[E]`` starts.

A bare ``list[E]`` parameter means ``Annotated[list[E], Collect(All())]``.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cardinality:
    """Which members of a collection start the step; use ``All`` or ``Take``."""


@dataclass(frozen=True)
class All(Cardinality):
    """Once, when the collection closes, with every member that survived."""


@dataclass(frozen=True)
class Take(Cardinality):
    """Once, when the n-th member arrives, with the first n; with fewer if the collection closes before.

    Members that arrive later are dropped; the work that makes them is not stopped.
    """

    n: int

    def __post_init__(self) -> None:
        """Refuse what is no count.

        Raises:
            ValueError: n is not an integer of at least 1.
        """
        if not isinstance(self.n, int) or self.n < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("Take(n) requires an integer n >= 1")


@dataclass(frozen=True)
class Collect:
    """Marks a ``list[E]`` parameter: ``Annotated[list[E], Collect(Take(3))]``."""

    cardinality: Cardinality = field(default_factory=All)
