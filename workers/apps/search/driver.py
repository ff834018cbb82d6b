"""Ask the search workflow: one question, or a file of them.

    python workers/apps/search/driver.py "How do I merge sorted iterables?"
    python workers/apps/search/driver.py --file workers/apps/search/questions.txt --in-flight 32

Without ``BROKER_WF_URL`` this process works on its own runs; with it, it only submits and workers execute.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TypedDict, cast

if not __package__:  # started as a file: `apps` lies two folders up, and this folder's names shall not hide others
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import click

from apps.search.app import workflow
from apps.search.events import Progress, SearchStart, Trail
from apps.search.view import View, make_view, where_table
from broker_wf.events import UnreconstructedException


class Answer(TypedDict):
    """The workflow's result; ``passages`` holds source, title, text and score of each, best first."""

    question: str
    answer: str
    passages: list[dict[str, str | float]]
    where: Trail


class Failure(TypedDict):
    """What is reported instead of an answer."""

    question: str
    error: str


@click.command()
@click.argument("question", required=False)
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="One question a line.")
@click.option(
    "--corpus",
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="A folder of texts that every worker has under this path. [default: Python's own documentation]",
)
@click.option("--shards", default=8, show_default=True, type=click.IntRange(1, 256))
@click.option("--queries", default=6, show_default=True, type=click.IntRange(1, 6), help="Queries per question.")
@click.option("--top-k", default=5, show_default=True, type=click.IntRange(1, 50), help="Passages per answer.")
@click.option("--in-flight", default=32, show_default=True, type=click.IntRange(1), help="Questions at one time.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each question, in order of completion.")
def main(
    question: str | None,
    file: Path | None,
    corpus: str | None,
    shards: int,
    queries: int,
    top_k: int,
    in_flight: int,
    as_json: bool,
) -> None:
    """Ask QUESTION, or all questions of a file; exit code 1 if any was not answered."""
    if (question is None) == (file is None):
        raise click.UsageError("give a question, or --file")
    questions = [question] if question is not None else _questions(cast(Path, file))
    starts = [
        SearchStart(question=each, corpus=corpus, shards=shards, queries=queries, top_k=top_k) for each in questions
    ]
    if not asyncio.run(_ask_and_show(starts, in_flight, as_json)):
        sys.exit(1)


async def ask_many(starts: Sequence[SearchStart], in_flight: int, view: View) -> AsyncIterator[Answer | Failure]:
    """Run all, at most ``in_flight`` at one time; yields each as it ends, in no order.

    A single question is followed event by event; of many, only the ends are seen.
    """
    waiting = iter(starts)
    running: dict[asyncio.Task[Answer], SearchStart] = {}
    try:
        while True:
            for start in waiting:
                running[asyncio.ensure_future(_ask(start, view if len(starts) == 1 else None))] = start
                if len(running) == in_flight:
                    break
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                start = running.pop(task)
                error = task.exception()
                if error is None:
                    yield task.result()
                else:
                    yield Failure(question=start.question, error=_told(error))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _told(error: BaseException) -> str:
    """The error with the name of the class that was raised, which may be one that only workers know."""
    raised = error.original_type if isinstance(error, UnreconstructedException) else None
    return f"{(raised or type(error).__name__).rpartition('.')[2]}: {error}"


async def _ask(start: SearchStart, view: View | None) -> Answer:
    handler = workflow.run(start_event=start)
    if view is not None:
        async for event in handler.stream_events():
            if isinstance(event, Progress):
                view.show(event)
    return cast(Answer, await handler)


async def _ask_and_show(starts: Sequence[SearchStart], in_flight: int, as_json: bool) -> bool:
    """Print what comes.

    Returns:
        False if a question failed.
    """
    began, answers, failed = time.perf_counter(), list[Answer](), 0
    with make_view() as view:
        async for outcome in ask_many(starts, in_flight, view):
            if "error" in outcome:
                failed += 1
            else:
                answers.append(outcome)
            view.count(len(answers) + failed, len(starts))
            view.write(json.dumps(outcome) if as_json else _shown(outcome, brief=len(starts) > 1))
    if not as_json and answers:
        click.echo(_summary(answers, failed, time.perf_counter() - began))
    return failed == 0


def _shown(outcome: Answer | Failure, *, brief: bool) -> str:
    if "error" in outcome:
        return f"\n? {outcome['question']}\n  FAILED {outcome['error']}"
    lines = [f"\n? {outcome['question']}", *(f"  {line}" for line in outcome["answer"].splitlines())]
    if not brief:
        lines.append("\nPassages")
        for number, passage in enumerate(outcome["passages"], start=1):
            lines.append(f"  [{number}] {passage['title']}  ({passage['source']}, score {passage['score']:.4f})")
            lines += [f"      {line}" for line in str(passage["text"]).splitlines()[:6] if line.strip()]
    return "\n".join(lines)


def _summary(answers: Sequence[Answer], failed: int, seconds: float) -> str:
    where = _sum_of(answer["where"] for answer in answers)
    steps = sum(sum(counts.values()) for counts in where.values())
    told = f"{len(answers)} answered, {failed} failed: {steps} steps on {len(where)} workers in {seconds:.1f} s"
    return f"\nWhere the steps ran\n{where_table(where)}\n\n{told}"


def _sum_of(trails: Iterable[Trail]) -> Trail:
    total: Trail = {}
    for trail in trails:
        for worker, counts in trail.items():
            steps = total.setdefault(worker, {})
            for name, count in counts.items():
                steps[name] = steps.get(name, 0) + count
    return total


def _questions(file: Path) -> list[str]:
    questions = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not questions:
        raise click.UsageError(f"{file} holds no question")
    return questions


if __name__ == "__main__":
    main()
