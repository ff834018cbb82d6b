"""Who writes the drafts: quotations chosen sentence by sentence, or a model that is told what was wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from apps.refine.criteria import Claim, Score, score, written
from apps.search.answer import ChatWriter, Passage, Writer, best_quotes, make_writer, sentences
from apps.search.planner import keywords

_QUOTES = 3
_SEEN = 40
"""Passages from whose sentences one draft is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a draft shall be better than.

    Attributes:
        answer: the best one so far.
        score: how good it is, and what it lacks.
    """

    answer: str
    score: Score


class Drafter(Protocol):
    """Writes an answer, or a better one."""

    async def draft(self, question: str, passages: Sequence[Passage], last: Draft | None) -> str:
        """An answer of claims; the passages are numbered from 1 in it.

        Args:
            last: the best answer so far; None: this is the first round.

        Raises:
            AnswerFailedError: there is none, for a reason outside this process.
        """
        ...


def make_drafter() -> Drafter:
    """The drafter the environment asks for; a resource, made once in each worker process."""
    writer = make_writer()
    return ChatDrafter(writer) if isinstance(writer, ChatWriter) else QuotingDrafter()


class QuotingDrafter:
    """Begins with the sentences the search application would quote; then exchanges, drops and adds sentences."""

    async def draft(self, question: str, passages: Sequence[Passage], last: Draft | None) -> str:
        """Deterministic: the same passages and the same last answer give the same draft."""
        return first_draft(question, passages) if last is None else better_draft(question, passages)


class ChatDrafter:
    """Has the search application's chat-completion endpoint write, and tells it what its last answer lacked."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def draft(self, question: str, passages: Sequence[Passage], last: Draft | None) -> str:
        """One request to the endpoint.

        Raises:
            AnswerFailedError: it gave no answer.
        """
        return await self._writer.write("\n\n".join(_order(question, last)), passages)


def first_draft(question: str, passages: Sequence[Passage]) -> str:
    """The sentences nearest to the question of the best passages; "" where there is no passage."""
    quotes = best_quotes(question, passages) if passages else []
    return written([_claim(quote, number, passages) for number, quote in quotes])


def better_draft(question: str, passages: Sequence[Passage]) -> str:
    """Up to three sentences, each the one that makes the answer's score highest; stops where none raises it."""
    choices = list(_choices(passages[:_SEEN]))
    chosen: list[Claim] = []
    reached = 0.0
    while len(chosen) < _QUOTES:
        tried = [(score(question, written([*chosen, one]), passages).total, -one.passage, one) for one in choices]
        best = max(tried, key=lambda entry: entry[:2], default=None)
        if best is None or best[0] <= reached:
            break
        reached = best[0]
        chosen.append(best[2])
    return written(chosen)


def _choices(passages: Sequence[Passage]) -> Iterator[Claim]:
    for number, passage in enumerate(passages, start=1):
        for sentence in sentences(passage.text):
            yield _claim(sentence, number, passages)


def _claim(quote: str, number: int, passages: Sequence[Passage]) -> Claim:
    return Claim(quote=quote, passage=number, title=passages[number - 1].title)


def _order(question: str, last: Draft | None) -> Iterator[str]:
    yield question
    yield (
        'Write at most three lines, each of the form "sentence copied word for word from a passage" [number] title '
        "of that passage, and nothing else."
    )
    if last is not None:
        failed = [f"{name} {value:.2f}" for name, value in last.score.criteria.items() if value < 1]
        yield f"Your last answer was:\n{last.answer}"
        yield f"Do better in: {', '.join(failed) or 'nothing'}. It lacked the words: {_listed(last.score.missing)}."


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"


def asked_again(question: str, missing: Sequence[str], titles: Sequence[str], turn: int) -> str:
    """The question whose passages shall bring what an answer lacks: the missing words beside what was found.

    Args:
        titles: of the passages the answer quotes, the best first; each turn takes another.
        turn: how often the corpus was asked again before, from 0.
    """
    beside = [titles[turn % len(titles)]] if titles else []
    words = [*(missing or keywords(question)), *beside]
    return " ".join(dict.fromkeys(words))
