"""A shard's index: an SQLite FTS5 file on this machine's disk, built once, known by its content's hash."""

from __future__ import annotations

import fcntl
import hashlib
import heapq
import math
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from apps.search.documents import Document

_SCHEMA = """
CREATE VIRTUAL TABLE passages
USING fts5(title, names, about, text, source UNINDEXED, tokenize = 'porter unicode61')
"""
_SCORES = """
SELECT rowid, -bm25(passages, 1.0, 1.0, 3.0, 1.0) FROM passages WHERE passages MATCH ?
"""
_SHOWN = """
SELECT rowid, title, source, snippet(passages, 3, '', '', ' … ', 24)
FROM passages WHERE passages MATCH ? AND rowid IN ({marks})
"""
_CAMEL_CASE = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")

_verified: set[tuple[str, int, int, int]] = set()
"""Files whose checksum this process has seen to be right: path, inode, time of change, size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A query to one shard, with what makes its scores comparable to those of the other shards.

    Attributes:
        terms: FTS5 expressions, and in how many passages of the whole corpus each occurs.
        corpus_size: passages in all shards.
        every: a passage must match all terms, not only one.
    """

    terms: Mapping[str, int]
    corpus_size: int
    every: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A passage that matches a query, without its text.

    Attributes:
        row: its number in the shard, the same on every machine.
        score: BM25 with the term weights of the whole corpus, more is better; compares within one query.
        snippet: up to 24 words around the match.
    """

    row: int
    title: str
    source: str
    score: float
    snippet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardIndex:
    """The place of one shard's index on this machine; it may not be built yet."""

    folder: Path
    identity: str

    @property
    def path(self) -> Path:
        """The database; its checksum lies beside it."""
        return self.folder / f"{self.identity}.sqlite"

    def ensure(self, documents: Callable[[], Iterable[Document]]) -> bool:
        """Have a sound index on this machine; of all threads and processes that call, one builds it.

        Args:
            documents: called only to build; may raise, and then nothing was built.

        Returns:
            True if this call built it.
        """
        if _is_sound(self.path):
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / f"{self.identity}.lock"):
            if _is_sound(self.path):
                return False
            _build(self.path, documents())
            return True

    def frequencies(self, terms: Iterable[str]) -> dict[str, int]:
        """In how many passages each term occurs.

        Raises:
            sqlite3.DatabaseError: the file was damaged since it was checked, or a term is not FTS5.
        """
        count = "SELECT count(*) FROM passages WHERE passages MATCH ?"
        with closing(_open(self.path)) as database:
            return {term: int(database.execute(count, (term,)).fetchone()[0]) for term in terms}

    def search(self, wanted: Wanted, limit: int) -> list[Found]:
        """The best passages, best first.

        Raises:
            sqlite3.DatabaseError: the file was damaged since it was checked, or a term is not FTS5.
        """
        with closing(_open(self.path)) as database:
            (size,) = database.execute("SELECT count(*) FROM passages").fetchone()
            by_term = [_term_scores(database, int(size), wanted, term) for term in wanted.terms]
            scores = _total(by_term, every=wanted.every)
            best = heapq.nsmallest(limit, scores, key=lambda row: (-scores[row], row))
            match = " OR ".join(f"({term})" for term in wanted.terms)
            shown = database.execute(_SHOWN.format(marks=_marks(best)), (match, *best)).fetchall()
        texts = {row: (title, source, snippet) for row, title, source, snippet in shown}
        return [
            Found(row=row, title=texts[row][0], source=texts[row][1], score=scores[row], snippet=texts[row][2])
            for row in best
        ]

    def fetch(self, rows: Iterable[int]) -> dict[int, Document]:
        """Passages with their texts, by row; unknown rows are left out.

        Raises:
            sqlite3.DatabaseError: the file was damaged since it was checked.
        """
        wanted = list(rows)
        query = f"SELECT rowid, title, source, about, text FROM passages WHERE rowid IN ({_marks(wanted)})"
        with closing(_open(self.path)) as database:
            found = database.execute(query, wanted).fetchall()
        return {row: Document(title=t, source=s, about=a, text=text) for row, t, s, a, text in found}

    def count(self) -> int:
        """How many passages it holds.

        Raises:
            sqlite3.DatabaseError: the file was damaged since it was checked.
        """
        with closing(_open(self.path)) as database:
            (number,) = database.execute("SELECT count(*) FROM passages").fetchone()
        return int(number)

    def discard(self) -> None:
        """Drop an index that turned out to be damaged, so that the next ``ensure`` builds it anew."""
        self.path.unlink(missing_ok=True)


def identifier_words(title: str) -> str:
    """The words inside an identifier: ``http.HTTPStatus.is_error`` holds ``http HTTP Status is error``."""
    return " ".join(_CAMEL_CASE.findall(title))


def _term_scores(database: sqlite3.Connection, size: int, wanted: Wanted, term: str) -> dict[int, float]:
    """BM25 of one term. FTS5 weighs it by its rarity in this file; the corpus' rarity counts."""
    scores = dict[int, float](database.execute(_SCORES, (term,)).fetchall())
    factor = _rarity(wanted.corpus_size, wanted.terms[term]) / _rarity(size, len(scores))
    return {row: score * factor for row, score in scores.items()}


def _rarity(size: int, frequency: int) -> float:
    """The inverse document frequency as FTS5 computes it (sqlite.org/fts5.html, the bm25() function)."""
    return max(math.log((size - frequency + 0.5) / (frequency + 0.5)), 1e-6)


def _total(by_term: Sequence[Mapping[int, float]], *, every: bool) -> dict[int, float]:
    total: dict[int, float] = {}
    for scores in by_term:
        for row, score in scores.items():
            total[row] = total.get(row, 0.0) + score
    if every:
        return {row: score for row, score in total.items() if all(row in scores for scores in by_term)}
    return total


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)


def _build(path: Path, documents: Iterable[Document]) -> None:
    """Write a new file beside the place and move it there: readers see all of it or nothing."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}.", suffix=".tmp")
    os.close(handle)
    new = Path(name)
    try:
        with closing(sqlite3.connect(new)) as database:
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            database.execute(_SCHEMA)
            rows = ((d.title, identifier_words(d.title), d.about, d.text, d.source) for d in documents)
            database.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?)", rows)
            database.execute("INSERT INTO passages(passages) VALUES ('optimize')")
            database.commit()
        new.with_suffix(".sum").write_text(_checksum(new))
        # The sum first: a crash between the two leaves a pair that does not fit, and that is built again.
        new.with_suffix(".sum").replace(path.with_suffix(".sum"))
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
        new.with_suffix(".sum").unlink(missing_ok=True)


def _is_sound(path: Path) -> bool:
    try:
        status = path.stat()
        stamp = (str(path), status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp not in _verified:
            if path.with_suffix(".sum").read_text() != _checksum(path):
                return False
            _verified.add(stamp)
    except FileNotFoundError:
        return False
    return True


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _locked(path: Path) -> Generator[None, None, None]:
    """Hold the file's lock, which the kernel frees however the process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
