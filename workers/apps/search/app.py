"""SearchFlow: plan, build shards, search, fuse, answer; each step wherever a worker is free.

    plan ─▶ build_shard … ─▶ indexed ─▶ search_shard … ─▶ fuse ─▶ compose
            (each shard)             (each query in each shard)

Serve it with ``broker-wf worker apps.search.app:workflow``, ask it with ``driver.py``.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated

from apps.search import fusion, shards
from apps.search.answer import AnswerFailedError, Passage, Writer, make_writer
from apps.search.events import (
    BuildShard,
    Candidate,
    Fused,
    Hits,
    Job,
    Progress,
    SearchStart,
    SearchTask,
    ShardReady,
    Trail,
)
from apps.search.index import Wanted
from apps.search.planner import known_terms, plan_queries
from broker_wf import Context, Workflow, step
from broker_wf.events import StopEvent
from broker_wf.resource import Resource
from broker_wf.retry_policy import retry_if_exception_type, retry_policy, stop_after_attempt, wait_fixed

_PER_SOURCE = 2
"""Passages of one source in an answer: the reader wants more than one view."""

_ANSWER_AGAIN = retry_policy(
    retry=retry_if_exception_type(AnswerFailedError), wait=wait_fixed(2), stop=stop_after_attempt(3)
)


def worker_name() -> str:
    """This process, as the result's ``where`` names it."""
    return f"{socket.gethostname()}:{os.getpid()}"


class ShardSteps(Workflow):
    """The steps from planned shards to the passages found, for any workflow that plans shards and takes ``Fused``."""

    @step
    async def build_shard(self, ctx: Context, ev: BuildShard) -> ShardReady:
        """Have one shard indexed on this machine, unless it is; refuse to build it from another corpus."""
        built = await asyncio.to_thread(shards.build, ev.job, ev.shard)
        what = "built" if built.built else "cached"
        detail = f"shard {ev.shard.number} {what}, {built.passages} passages"
        ctx.write_event_to_stream(Progress(stage="index", detail=detail, worker=worker_name(), done=1))
        return ShardReady(
            job=ev.job,
            shard=ev.shard,
            built=built.built,
            passages=built.passages,
            frequencies=built.frequencies,
            worker=worker_name(),
        )

    @step
    async def indexed(self, ctx: Context, ev: list[ShardReady]) -> list[SearchTask]:
        """With all shards ready, ask each of them each form of the question."""
        tasks = search_tasks(ev, worker_name())
        detail = f"{len(tasks) // len(ev)} queries in {len(ev)} shards each"
        ctx.write_event_to_stream(Progress(stage="search", detail=detail, worker=worker_name(), total=len(tasks)))
        return tasks

    @step
    async def search_shard(self, ctx: Context, ev: SearchTask) -> Hits:
        """Rank one shard's passages by one query; a machine that lacks the shard builds it first."""
        wanted = Wanted(terms=ev.terms, corpus_size=ev.corpus_size, every=ev.every)
        hits = await asyncio.to_thread(shards.search, ev.job, ev.shard, wanted, list_length(ev.job))
        detail = f"{ev.kind} in shard {ev.shard.number}: {len(hits)} hits"
        ctx.write_event_to_stream(Progress(stage="search", detail=detail, worker=worker_name(), done=1))
        return Hits(job=ev.job, shard=ev.shard, kind=ev.kind, hits=hits, worker=worker_name(), trail=ev.trail)

    @step
    def fuse(self, ev: list[Hits]) -> Fused:
        """Make one ranking of all; a plain function, which runs in a thread."""
        trail = _count([(worker_name(), "fuse")] + [(hits.worker, "search_shard") for hits in ev])
        return Fused(job=ev[0].job, candidates=rank(ev), trail=_joined(ev[0].trail, trail))


class SearchFlow(ShardSteps):
    """Answers a question about a corpus with quoted passages.

    The result is a dict that JSON can hold: ``question``, ``answer``, ``passages`` (each ``source``,
    ``title``, ``text``, ``score``; best first) and ``where`` (``{worker: {step: count}}``).
    """

    @step
    async def plan(self, ctx: Context, ev: SearchStart) -> list[BuildShard]:
        """Compute what each shard must be, from this machine's copy of the corpus."""
        job = Job(question=ev.question, corpus=ev.corpus, shards=ev.shards, queries=ev.queries, top_k=ev.top_k)
        planned = await asyncio.to_thread(shards.plan_shards, job, worker_name())
        ctx.write_event_to_stream(
            Progress(stage="index", detail=f"{job.shards} shards", worker=worker_name(), total=job.shards)
        )
        return [BuildShard(job=job, shard=shard) for shard in planned]

    @step(retry_policy=_ANSWER_AGAIN)
    async def compose(self, ctx: Context, ev: Fused, writer: Annotated[Writer, Resource(make_writer)]) -> StopEvent:
        """Read the chosen passages and write the answer."""
        found = await asyncio.to_thread(shards.fetch, ev.job, ev.candidates)
        passages = [
            Passage(source=text.source, title=text.title, text=text.text, score=candidate.score)
            for text, candidate in zip(found, ev.candidates, strict=True)
        ]
        ctx.write_event_to_stream(
            Progress(stage="answer", detail=f"from {len(passages)} passages", worker=worker_name(), total=1)
        )
        return StopEvent(
            result={
                "question": ev.job.question,
                "answer": await writer.write(ev.job.question, passages),
                "passages": [asdict(passage) for passage in passages],
                "where": _joined(ev.trail, _count([(worker_name(), "compose")])),
            }
        )


def list_length(job: Job) -> int:
    """How long a query's rank list is: long enough that other queries can lift a passage into the answer."""
    return max(10, 2 * job.top_k)


def search_tasks(ready: Sequence[ShardReady], worker: str) -> list[SearchTask]:
    """Each query to each shard, with the terms' frequencies in all shards together."""
    job = ready[0].job
    trail = _count(
        [(ready[0].shard.planned_by, "plan"), (worker, "indexed")] + [(one.worker, "build_shard") for one in ready]
    )
    frequencies: Counter[str] = Counter()
    for one in ready:
        frequencies.update(one.frequencies)
    queries = [known_terms(query, frequencies) for query in plan_queries(job.question, job.queries)]
    return [
        SearchTask(
            job=job,
            shard=one.shard,
            kind=query.kind,
            terms={term: frequencies[term] for term in query.terms},
            every=query.every,
            corpus_size=sum(each.passages for each in ready),
            trail=trail,
        )
        for query in queries
        for one in ready
    ]


def rank(found: Iterable[Hits]) -> list[Candidate]:
    """The answer's passages: shards merged by score within each query, queries fused by rank.

    Scores of one query compare across shards, for every shard weighs the terms by their frequency in the
    whole corpus; scores of two queries do not, and so only their ranks count.
    """
    every = list(found)
    by_kind: defaultdict[str, list[Candidate]] = defaultdict(list)
    for hits in every:
        for hit in hits.hits:
            by_kind[hits.kind].append(
                Candidate(shard=hits.shard, row=hit.row, title=hit.title, source=hit.source, score=hit.score)
            )
    length = list_length(every[0].job)
    lists = [sorted(found, key=_best_first)[:length] for _, found in sorted(by_kind.items())]
    candidates = {_place(candidate): candidate for ranking in lists for candidate in ranking}
    scores = fusion.reciprocal_ranks([_place(candidate) for candidate in ranking] for ranking in lists)
    fused = [candidates[place].model_copy(update={"score": score}) for place, score in scores.items()]
    return fusion.spread(fused, lambda candidate: candidate.source, _PER_SOURCE, every[0].job.top_k)


def _best_first(candidate: Candidate) -> tuple[float, int, int]:
    return (-candidate.score, candidate.shard.number, candidate.row)


def _place(candidate: Candidate) -> tuple[int, int]:
    return (candidate.shard.number, candidate.row)


def _count(executions: Iterable[tuple[str, str]]) -> Trail:
    trail: Trail = {}
    for worker, name in executions:
        steps = trail.setdefault(worker, {})
        steps[name] = steps.get(name, 0) + 1
    return trail


def _joined(first: Trail, second: Trail) -> Trail:
    return {worker: {**first.get(worker, {}), **second.get(worker, {})} for worker in sorted({*first, *second})}


workflow = SearchFlow(timeout=600)
