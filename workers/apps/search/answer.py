"""The answer: sentences quoted from the passages, or a text by a model that was shown them."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ValidationError

from apps.search.planner import keywords
from apps.search.settings import Settings, settings_from_environment

_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z\"'(`*>\-])|\n\s*\n")
_PROSE = re.compile(r"[A-Z\"'`*][^\s(]*( \S+){3}")
_LONGEST_QUOTE = 400
_QUOTES = 3

_INSTRUCTION = (
    "Answer the question from the numbered passages only. Name the passages you use as [1], [2]. "
    "If they do not hold the answer, say so."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A passage with its text, as the answer shows it.

    Attributes:
        source: module, language topic or file.
        score: the fused score, more is better.
    """

    source: str
    title: str
    text: str
    score: float


class AnswerFailedError(Exception):
    """The chat-completion endpoint gave no answer; the passages are as good as before."""


class Writer(Protocol):
    """Makes an answer out of passages."""

    async def write(self, question: str, passages: Sequence[Passage]) -> str:
        """The answer; the passages are numbered from 1 in it.

        Raises:
            AnswerFailedError: there is none, for a reason outside this process.
        """
        ...


def make_writer() -> Writer:
    """The writer the environment asks for; a resource, made once in each worker process."""
    settings = settings_from_environment()
    return QuotingWriter() if settings.llm_url is None else ChatWriter(url=settings.llm_url, settings=settings)


class QuotingWriter:
    """Answers with the sentences nearest to the question, word for word."""

    async def write(self, question: str, passages: Sequence[Passage]) -> str:
        """At most three quotations with their sources; says so when there is no passage."""
        if not passages:
            return "Nothing in the corpus matches the question."
        quotes = best_quotes(question, passages)
        return "\n".join(f'"{quote}" [{number}] {passages[number - 1].title}' for number, quote in quotes)


def best_quotes(question: str, passages: Sequence[Passage]) -> list[tuple[int, str]]:
    """The best sentence of each of the best passages.

    Returns:
        Pairs of passage number, from 1, and a sentence of that passage with its white space made single.
    """
    stems = {stem(word) for word in keywords(question)}
    best = [(number, _best_sentence(stems, passage)) for number, passage in enumerate(passages, start=1)]
    # A later passage must hold more of the question to come first: the fused order is the better judge.
    ranked = sorted(best, key=lambda entry: (-entry[1][0] * (1 - 0.08 * entry[0]), entry[0]))
    return [(number, sentence) for number, (_, sentence) in ranked[:_QUOTES]]


def _best_sentence(stems: set[str], passage: Passage) -> tuple[float, str]:
    scored = [(_overlap(stems, sentence), sentence) for sentence in sentences(passage.text)]
    return max(scored, key=lambda entry: entry[0])


def sentences(text: str) -> list[str]:
    """What can be quoted of a text: its sentences in order, white space made single, cut where they are very long."""
    found = (" ".join(part.split())[:_LONGEST_QUOTE] for part in _SENTENCE_END.split(text))
    return [sentence for sentence in found if sentence]


def _overlap(stems: set[str], sentence: str) -> float:
    """How many words of the question the sentence holds; prose beats a signature that holds one more."""
    words = {stem(word) for word in re.findall(r"\w+", sentence)}
    return len(stems & words) + (1.5 if _PROSE.match(sentence) else 0.0)


def stem(word: str) -> str:
    """A word without its case and its commonest endings, so that "Sorting" and "sorts" are one."""
    word = word.lower()
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: list[_Choice]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatWriter:
    """Has a chat-completion endpoint of the usual shape write the answer."""

    url: str
    settings: Settings

    async def write(self, question: str, passages: Sequence[Passage]) -> str:
        """One request, in a thread, so that the worker's other steps go on meanwhile.

        Raises:
            AnswerFailedError: no connection, an HTTP error, or a reply of another shape.
        """
        return await asyncio.to_thread(self._ask, question, passages)

    def _ask(self, question: str, passages: Sequence[Passage]) -> str:
        try:
            with urllib.request.urlopen(
                self._request(question, passages), timeout=self.settings.llm_timeout_s
            ) as reply:
                completion = _Completion.model_validate_json(reply.read())
        except urllib.error.HTTPError as error:
            with error:  # it holds the connection
                said = error.read(200).decode(errors="replace")
            raise AnswerFailedError(f"the endpoint {self._endpoint()} gave no answer: {error}: {said}") from error
        except (OSError, ValidationError) as error:
            raise AnswerFailedError(f"the endpoint {self._endpoint()} gave no answer: {error}") from error
        if not completion.choices:
            raise AnswerFailedError(f"the endpoint {self._endpoint()} gave no choice")
        return completion.choices[0].message.content

    def _request(self, question: str, passages: Sequence[Passage]) -> urllib.request.Request:
        shown = "\n\n".join(f"[{n}] {p.title} ({p.source})\n{p.text}" for n, p in enumerate(passages, start=1))
        body = {
            "model": self.settings.llm_model,
            "messages": [
                {"role": "system", "content": _INSTRUCTION},
                {"role": "user", "content": f"{shown}\n\nQuestion: {question}"},
            ],
        }
        headers = {"Content-Type": "application/json"}
        if self.settings.llm_key:
            headers["Authorization"] = f"Bearer {self.settings.llm_key}"
        return urllib.request.Request(self._endpoint(), data=json.dumps(body).encode(), headers=headers)

    def _endpoint(self) -> str:
        url = self.url.rstrip("/")
        return url if url.endswith("/chat/completions") else f"{url}/chat/completions"
