"""What travels between the steps. Small on purpose: the texts themselves lie on every machine."""

from __future__ import annotations

from pydantic import BaseModel, Field

from broker_wf.events import Event, StartEvent

Trail = dict[str, dict[str, int]]
"""How often each worker executed each step: ``{worker: {step: count}}``."""


class Job(BaseModel):
    """What is asked of which corpus; goes along with every event.

    Attributes:
        corpus: a folder that every worker has under this path; None for the documentation of Python itself.
        shards: into how many parts it is indexed and searched.
        queries: into how many queries the question is planned, at most.
        top_k: how many passages the answer rests on.
    """

    question: str = Field(min_length=1)
    corpus: str | None = None
    shards: int = Field(default=8, ge=1, le=256)
    queries: int = Field(default=6, ge=1, le=6)
    top_k: int = Field(default=5, ge=1, le=50)


class SearchStart(StartEvent):
    """Begins a run; the fields are those of ``Job``."""

    question: str = Field(min_length=1)
    corpus: str | None = None
    shards: int = Field(default=8, ge=1, le=256)
    queries: int = Field(default=6, ge=1, le=6)
    top_k: int = Field(default=5, ge=1, le=50)


class Shard(BaseModel):
    """A shard by number and by what is in it.

    Attributes:
        identity: the hash of its texts; a machine on which it is another refuses to work on it.
        planned_by: the worker that computed the hash.
    """

    number: int
    identity: str
    planned_by: str


class BuildShard(Event):
    """Have this shard's index ready on your machine."""

    job: Job
    shard: Shard


class ShardReady(Event):
    """The index is there.

    Attributes:
        built: False if it was there already.
        passages: how many it holds.
        frequencies: in how many of them each term of the question's queries occurs.
    """

    job: Job
    shard: Shard
    built: bool
    passages: int
    frequencies: dict[str, int]
    worker: str


class SearchTask(Event):
    """Put one query to one shard.

    Attributes:
        terms: FTS5 expressions, and in how many passages of all shards each occurs.
        every: a passage must match all terms.
        corpus_size: passages in all shards.
        trail: of the steps before this one; the same in every task.
    """

    job: Job
    shard: Shard
    kind: str
    terms: dict[str, int]
    every: bool
    corpus_size: int
    trail: Trail


class Hit(BaseModel):
    """A passage that was found: where its text lies, and how well it fits the query.

    Attributes:
        row: its number in the shard's index.
        score: BM25 with the term weights of the whole corpus, more is better; compares within one query.
    """

    row: int
    title: str
    source: str
    score: float
    snippet: str


class Hits(Event):
    """What one query found in one shard, best first."""

    job: Job
    shard: Shard
    kind: str
    hits: list[Hit]
    worker: str
    trail: Trail


class Candidate(BaseModel):
    """A passage chosen for the answer, with its fused score; its text is still on disk."""

    shard: Shard
    row: int
    title: str
    source: str
    score: float


class Fused(Event):
    """The passages the answer shall rest on, best first."""

    job: Job
    candidates: list[Candidate]
    trail: Trail


class Progress(Event):
    """Published while a run goes on, for people to watch.

    Attributes:
        stage: plan, index, search, answer.
        done: how many steps of the stage this event reports as finished, 0 or 1.
        total: how many steps the stage has; 0 if this event does not say.
    """

    stage: str
    detail: str
    worker: str
    done: int = 0
    total: int = 0
