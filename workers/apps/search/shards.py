"""Shards on this machine: build what is missing, search, read; what is damaged is built again once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from apps.search import corpus
from apps.search.documents import Document
from apps.search.events import Candidate, Hit, Job, Shard
from apps.search.index import ShardIndex, Wanted
from apps.search.planner import plan_queries
from apps.search.settings import settings_from_environment

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A shard that is ready.

    Attributes:
        built: False if it was there already.
        passages: how many it holds.
        frequencies: in how many of them each term occurs.
    """

    built: bool
    passages: int
    frequencies: dict[str, int]


def plan_shards(job: Job, worker: str) -> list[Shard]:
    """The job's shards as this machine's copy of the corpus gives them.

    Raises:
        CorpusMissingError: there is no such corpus here.
    """
    identities = corpus.shard_identities(job.corpus, job.shards)
    return [Shard(number=n, identity=identity, planned_by=worker) for n, identity in enumerate(identities)]


def build(job: Job, shard: Shard) -> Built:
    """Have the shard's index ready on this machine, and look up the question's terms in it.

    Raises:
        CorpusMissingError: it must be built, and there is no such corpus here.
        CorpusMismatchError: it must be built, and the copy here is another one.
    """
    terms = {term for query in plan_queries(job.question, job.queries) for term in query.terms}
    built = ensure(job, shard)
    return _reading(
        job,
        shard,
        lambda index: Built(built=built, passages=index.count(), frequencies=index.frequencies(sorted(terms))),
    )


def ensure(job: Job, shard: Shard) -> bool:
    """Build the shard's index if this machine has none; known by its content, it needs no check.

    Returns:
        True if this call built it.

    Raises:
        CorpusMissingError: it must be built, and there is no such corpus here.
        CorpusMismatchError: it must be built, and the copy here is another one.
    """
    return _index(shard).ensure(lambda: _read(job, shard))


def search(job: Job, shard: Shard, wanted: Wanted, limit: int) -> list[Hit]:
    """The best passages of the shard, best first; builds the index first where need be."""
    found = _reading(job, shard, lambda index: index.search(wanted, limit))
    return [Hit(row=f.row, title=f.title, source=f.source, score=f.score, snippet=f.snippet) for f in found]


def fetch(job: Job, candidates: Sequence[Candidate]) -> list[Document]:
    """The candidates' texts, in their order; builds the indexes first where need be."""
    rows: dict[int, list[int]] = {}
    shards = {candidate.shard.number: candidate.shard for candidate in candidates}
    for candidate in candidates:
        rows.setdefault(candidate.shard.number, []).append(candidate.row)
    texts = {number: _fetch(job, shards[number], wanted) for number, wanted in rows.items()}
    return [texts[candidate.shard.number][candidate.row] for candidate in candidates]


def _fetch(job: Job, shard: Shard, rows: list[int]) -> dict[int, Document]:
    return _reading(job, shard, lambda index: index.fetch(rows))


def _reading(job: Job, shard: Shard, ask: Callable[[ShardIndex], _Answer]) -> _Answer:
    index = _index(shard)
    ensure(job, shard)
    try:
        return ask(index)
    except sqlite3.DatabaseError:
        index.discard()
        ensure(job, shard)
        return ask(index)


def _read(job: Job, shard: Shard) -> list[Document]:
    content = corpus.read_shard(job.corpus, job.shards, shard.number)
    corpus.require_same(
        corpus=job.corpus,
        number=shard.number,
        planned=shard.identity,
        planned_by=shard.planned_by,
        found=content.identity,
    )
    return content.documents


def _index(shard: Shard) -> ShardIndex:
    return ShardIndex(folder=settings_from_environment().cache_dir, identity=shard.identity)
