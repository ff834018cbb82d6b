"""Ask the refine workflow: one question, or a file of them.

    python workers/apps/refine/driver.py "How do I read a CSV file row by row?"
    python workers/apps/refine/driver.py --file workers/apps/search/questions.txt --in-flight 16

Without ``BROKER_WF_URL`` this process works on its own runs; with it, it only submits and workers execute.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, cast

if not __package__:  # started as a file: `apps` lies two folders up, and this folder's names shall not hide others
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import click

from apps.refine.app import workflow
from apps.refine.criteria import claims
from apps.refine.events import GOOD, RefineStart, RoundScored
from apps.search.events import Progress, Trail
from apps.search.view import where_table
from broker_wf import run_many
from broker_wf.events import UnreconstructedException


class Scored(TypedDict):
    """A score as plain JSON; ``apps.refine.criteria.Score`` tells what the fields mean."""

    total: float
    criteria: dict[str, float]
    missing: list[str]


class RoundTold(TypedDict):
    """One round as plain JSON."""

    answer: str
    score: Scored
    query: str


class Answer(TypedDict):
    """The workflow's result; ``apps.refine.app.RefineFlow`` tells what the fields mean."""

    question: str
    answer: str
    score: Scored
    ended: str
    best_round: int
    rounds: list[RoundTold]
    passages: dict[str, dict[str, str | float]]
    where: Trail


@click.command()
@click.argument("question", required=False)
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="One question a line.")
@click.option(
    "--corpus",
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="A folder of texts that every worker has under this path. [default: Python's own documentation]",
)
@click.option("--rounds", default=4, show_default=True, type=click.IntRange(1, 20), help="Drafts at most.")
@click.option("--good", default=GOOD, show_default=True, type=click.FloatRange(0, 1), help="The score that is enough.")
@click.option("--in-flight", default=16, show_default=True, type=click.IntRange(1), help="Questions at one time.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each question, in order of completion.")
def main(
    question: str | None,
    file: Path | None,
    corpus: str | None,
    rounds: int,
    good: float,
    in_flight: int,
    as_json: bool,
) -> None:
    """Ask QUESTION, or all questions of a file; exit code 1 if any was not answered."""
    if (question is None) == (file is None):
        raise click.UsageError("give a question, or --file")
    questions = [question] if question is not None else _questions(cast(Path, file))
    starts = [RefineStart(question=each, corpus=corpus, rounds=rounds, good=good) for each in questions]
    asked = _ask_one(starts[0], as_json) if question is not None else _ask_many(starts, in_flight, as_json)
    if not asyncio.run(asked):
        sys.exit(1)


async def _ask_one(start: RefineStart, as_json: bool) -> bool:
    """Follow one run, event by event.

    Returns:
        False if it failed.
    """
    began = time.perf_counter()
    handler = workflow.run(start_event=start)
    async for event in handler.stream_events():
        told = _progress(event)
        if told:
            click.echo(told, err=True)
    (ended,) = await asyncio.gather(handler, return_exceptions=True)
    if isinstance(ended, BaseException):
        click.echo(_failure(start, ended, as_json))
        return False
    answer = cast(Answer, ended)
    click.echo(json.dumps(answer) if as_json else _shown(answer, brief=False))
    if not as_json:
        click.echo(_summary([answer], 0, time.perf_counter() - began))
    return True


async def _ask_many(starts: Sequence[RefineStart], in_flight: int, as_json: bool) -> bool:
    """Print the answers as they come.

    Returns:
        False if a question failed.
    """
    began, answers, failed = time.perf_counter(), list[Answer](), 0
    async for outcome in run_many(workflow, starts, in_flight=in_flight):
        if outcome.error is None:
            answer = cast(Answer, outcome.result)
            answers.append(answer)
            click.echo(json.dumps(answer) if as_json else _shown(answer, brief=True))
        else:
            failed += 1
            click.echo(_failure(starts[outcome.index], outcome.error, as_json))
        click.echo(f"{len(answers) + failed} of {len(starts)} questions", err=True)
    if answers and not as_json:
        click.echo(_summary(answers, failed, time.perf_counter() - began))
    return failed == 0


def _progress(event: object) -> str | None:
    """A line for the beginning of a round, for its draft and for its score."""
    if isinstance(event, RoundScored):
        lacks = f", lacks {' '.join(event.missing)}" if event.missing else ""
        return f"round {event.round}: score {event.total:.3f} (best {event.best:.3f}){lacks} ({event.worker})"
    if isinstance(event, Progress) and (event.total or event.stage == "answer"):
        return f"{event.stage}: {event.detail} ({event.worker})"
    return None


def _shown(answer: Answer, *, brief: bool) -> str:
    lines = [f"\n? {answer['question']}", *(f"  {line}" for line in answer["answer"].splitlines())]
    totals = " ▸ ".join(f"{each['score']['total']:.3f}" for each in answer["rounds"])
    told = f"  score {answer['score']['total']:.3f} in round {answer['best_round']} of {len(answer['rounds'])}"
    lines.append(f"{told} ({totals}); ended: {answer['ended']}")
    if not brief:
        lines += ["", *(f"  {name:<9}{value:.2f}" for name, value in answer["score"]["criteria"].items()), ""]
        for number in sorted({claim.passage for claim in claims(answer["answer"])}):
            passage = answer["passages"].get(str(number))
            if passage is None:  # a model may name a number that no passage has
                continue
            lines.append(f"  [{number}] {passage['title']}  ({passage['source']})")
            lines += [f"      {line}" for line in str(passage["text"]).splitlines()[:6] if line.strip()]
    return "\n".join(lines)


def _failure(start: RefineStart, error: BaseException, as_json: bool) -> str:
    """What is reported instead of an answer, with the class that was raised, which only workers may know."""
    raised = error.original_type if isinstance(error, UnreconstructedException) else None
    told = f"{(raised or type(error).__name__).rpartition('.')[2]}: {error}"
    if as_json:
        return json.dumps({"question": start.question, "error": told})
    return f"\n? {start.question}\n  FAILED {told}"


def _summary(answers: Sequence[Answer], failed: int, seconds: float) -> str:
    where: Trail = {}
    for answer in answers:
        for worker, counts in answer["where"].items():
            steps = where.setdefault(worker, {})
            for name, count in counts.items():
                steps[name] = steps.get(name, 0) + count
    first = sum(answer["rounds"][0]["score"]["total"] for answer in answers) / len(answers)
    last = sum(answer["score"]["total"] for answer in answers) / len(answers)
    rounds = sum(len(answer["rounds"]) for answer in answers)
    steps = sum(sum(counts.values()) for counts in where.values())
    told = f"{len(answers)} answered in {rounds} rounds, {failed} failed: mean score {first:.3f}, refined {last:.3f}"
    done = f"{steps} steps on {len(where)} workers in {seconds:.1f} s"
    return f"\nWhere the steps ran\n{where_table(where)}\n\n{told}\n{done}"


def _questions(file: Path) -> list[str]:
    questions = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not questions:
        raise click.UsageError(f"{file} holds no question")
    return questions


if __name__ == "__main__":
    main()
