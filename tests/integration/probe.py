"""What steps of one test process have seen, whichever thread they ran in."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Probe:
    """Marks by run: what happened, and how many executions overlapped."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._marks: dict[str, list[str]] = defaultdict(list)
        self._inside: Counter[str] = Counter()
        self._most: Counter[str] = Counter()

    def mark(self, key: str, what: str) -> None:
        """Remember that something happened."""
        with self._guard:
            self._marks[key].append(what)

    def marks(self, key: str) -> list[str]:
        """What has happened, in order."""
        with self._guard:
            return list(self._marks[key])

    def count(self, key: str, what: str) -> int:
        """How often something has happened."""
        return self.marks(key).count(what)

    @contextmanager
    def inside(self, key: str) -> Iterator[None]:
        """Counted while the block lasts."""
        with self._guard:
            self._inside[key] += 1
            self._most[key] = max(self._most[key], self._inside[key])
        try:
            yield
        finally:
            with self._guard:
                self._inside[key] -= 1

    def now_inside(self, key: str) -> int:
        """How many blocks are open."""
        with self._guard:
            return self._inside[key]

    def most(self, key: str) -> int:
        """The most blocks that were open at one time."""
        with self._guard:
            return self._most[key]


probe = Probe()
