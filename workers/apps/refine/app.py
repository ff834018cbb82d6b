"""RefineFlow: the search application's steps, and round them a loop that ends when the answer is good.

    plan ─▶ build_shard … ─▶ indexed ─▶ search_shard … ─▶ fuse ─▶ compose ─▶ judge ─▶ the end
                 ▲                                                             │
                 └────────────────────────── refine ◀──────────────────────────┘

Serve it with ``broker-wf worker apps.refine.app:workflow``, ask it with ``driver.py``.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from apps.refine.criteria import claims, score
from apps.refine.drafting import Draft, Drafter, asked_again, make_drafter
from apps.refine.events import Drafted, Memory, RefineStart, Round, RoundScored, Weak
from apps.search import shards
from apps.search.answer import AnswerFailedError, Passage
from apps.search.app import ShardSteps, worker_name
from apps.search.events import BuildShard, Fused, Job, Progress, Trail
from broker_wf import Context, step
from broker_wf.events import StopEvent
from broker_wf.resource import Resource
from broker_wf.retry_policy import retry_if_exception_type, retry_policy, stop_after_attempt, wait_fixed

_ANSWER_AGAIN = retry_policy(
    retry=retry_if_exception_type(AnswerFailedError), wait=wait_fixed(2), stop=stop_after_attempt(3)
)


class RefineFlow(ShardSteps):
    """Answers a question, scores the answer, and searches for what it lacks until it is good.

    The result is a dict that JSON can hold: ``question``, ``answer``, ``score`` (``total``, ``criteria``,
    ``missing``), ``ended`` (good, rounds, or nothing new: a round found no passage that was not known),
    ``rounds`` (each ``answer``, ``score``, ``query``), ``best_round`` (from 1), ``passages`` (those the rounds
    quote, by the number they give them) and ``where`` (``{worker: {step: count}}``).
    """

    @step
    async def plan(self, ctx: Context[Memory], ev: RefineStart) -> list[BuildShard]:
        """Begin the first round: plan the shards as the search application does."""
        job = _job(ev, ev.question)
        planned = await asyncio.to_thread(shards.plan_shards, job, worker_name())
        async with ctx.store.edit_state() as memory:
            memory.start, memory.query, memory.shards = ev, ev.question, planned
        ctx.write_event_to_stream(_begins(job, 1))
        return [BuildShard(job=job, shard=shard) for shard in planned]

    @step(retry_policy=_ANSWER_AGAIN)
    async def compose(
        self, ctx: Context[Memory], ev: Fused, drafter: Annotated[Drafter, Resource(make_drafter)]
    ) -> Drafted:
        """Read what this round found, and write an answer from all rounds' passages."""
        found = await asyncio.to_thread(shards.fetch, ev.job, ev.candidates)
        passages = [
            Passage(source=text.source, title=text.title, text=text.text, score=candidate.score)
            for text, candidate in zip(found, ev.candidates, strict=True)
        ]
        async with ctx.store.edit_state() as memory:
            memory.pools[memory.round] = _new(passages, memory)
            memory.trails[memory.round] = _trail(ev.trail, memory.round)
        memory = await ctx.store.get_state()
        answer = await drafter.draft(_start(memory).question, memory.passages(), _last(memory))
        detail = f"round {memory.round}, {len(memory.pools[memory.round])} new passages"
        ctx.write_event_to_stream(Progress(stage="answer", detail=detail, worker=worker_name(), done=1))
        return Drafted(round=memory.round, answer=answer, worker=worker_name())

    @step
    async def judge(self, ctx: Context[Memory], ev: Drafted) -> Weak | StopEvent:
        """Score the draft; the best of all rounds is the answer."""
        memory = await ctx.store.get_state()
        start = _start(memory)
        scored = score(start.question, ev.answer, memory.passages())
        async with ctx.store.edit_state() as memory:
            memory.rounds[ev.round] = Round(answer=ev.answer, score=scored, query=memory.query)
            for worker, name in ((ev.worker, "compose"), (worker_name(), "judge")):
                memory.trails[ev.round].setdefault(worker, {})[name] = 1
        memory = await ctx.store.get_state()
        _, best = memory.best()
        ctx.write_event_to_stream(
            RoundScored(
                round=ev.round,
                total=scored.total,
                best=best.score.total,
                missing=scored.missing,
                worker=worker_name(),
            )
        )
        ended = _ending(memory, ev.round)
        return Weak(round=ev.round) if ended is None else StopEvent(result=_result(memory, ended))

    @step
    async def refine(self, ctx: Context[Memory], ev: Weak) -> list[BuildShard]:
        """Begin another round: ask the corpus for what the best answer lacks."""
        memory = await ctx.store.get_state()
        start, (_, best) = _start(memory), memory.best()
        passages = memory.passages()
        titles = [
            passages[claim.passage - 1].title for claim in claims(best.answer) if _is_known(claim.passage, memory)
        ]
        job = _job(start, asked_again(start.question, best.score.missing, titles, ev.round - 1))
        async with ctx.store.edit_state() as memory:
            memory.round, memory.query = ev.round + 1, job.question
            memory.trails[ev.round].setdefault(worker_name(), {})["refine"] = 1
        ctx.write_event_to_stream(_begins(job, ev.round + 1))
        return [BuildShard(job=job, shard=shard) for shard in memory.shards]


def _job(start: RefineStart, query: str) -> Job:
    return Job(question=query, corpus=start.corpus, shards=start.shards, queries=start.queries, top_k=start.top_k)


def _begins(job: Job, number: int) -> Progress:
    detail = f"round {number}: {job.question}"
    return Progress(stage="index", detail=detail, worker=worker_name(), total=job.shards)


def _start(memory: Memory) -> RefineStart:
    if memory.start is None:
        raise ValueError("the state holds no start event, which `plan` writes first: was it cleared?")
    return memory.start


def _new(passages: list[Passage], memory: Memory) -> list[Passage]:
    """Those that no earlier round has found."""
    known = {(one.title, one.text) for number in range(1, memory.round) for one in memory.pools[number]}
    return [one for one in passages if (one.title, one.text) not in known]


def _trail(trail: Trail, number: int) -> Trail:
    """Who did what in a round's search; later rounds use the first one's plan, which is not counted again."""
    left = "" if number == 1 else "plan"
    kept = {worker: {name: n for name, n in counts.items() if name != left} for worker, counts in trail.items()}
    return {worker: counts for worker, counts in kept.items() if counts}


def _last(memory: Memory) -> Draft | None:
    if not memory.rounds:
        return None
    _, best = memory.best()
    return Draft(answer=best.answer, score=best.score)


def _ending(memory: Memory, number: int) -> str | None:
    """Why the run ends after this round; None: it does not."""
    start, (_, best) = _start(memory), memory.best()
    if best.score.total >= start.good:
        return "good"
    if number >= start.rounds:
        return "rounds"
    return "nothing new" if number > 1 and not memory.pools[number] else None


def _is_known(number: int, memory: Memory) -> bool:
    return 1 <= number <= len(memory.passages())


def _result(memory: Memory, ended: str) -> dict[str, object]:
    number, best = memory.best()
    passages = memory.passages()
    said = [claim.passage for each in memory.rounds.values() for claim in claims(each.answer)]
    quoted = sorted({passage for passage in said if _is_known(passage, memory)})
    return {
        "question": _start(memory).question,
        "answer": best.answer,
        "score": best.score.model_dump(),
        "ended": ended,
        "best_round": number,
        "rounds": [memory.rounds[each].model_dump() for each in sorted(memory.rounds)],
        "passages": {str(each): asdict(passages[each - 1]) for each in quoted},
        "where": _sum(list(memory.trails.values())),
    }


def _sum(trails: list[Trail]) -> Trail:
    total: Trail = {}
    for trail in trails:
        for worker, counts in sorted(trail.items()):
            steps = total.setdefault(worker, {})
            for name, count in counts.items():
                steps[name] = steps.get(name, 0) + count
    return total


workflow = RefineFlow(timeout=600)
