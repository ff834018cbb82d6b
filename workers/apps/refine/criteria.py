"""What a good answer is, so that a machine can check it: every criterion is a number from 0 to 1.

An answer has one claim a line: ``"a quotation" [number of the passage] title of the passage``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from pydantic import BaseModel

from apps.search.answer import Passage, stem
from apps.search.planner import keywords
from apps.search.words import SYNONYMS, WEAK_WORDS

SHORTEST, LONGEST = 60, 600
"""Characters an answer should have, its passage numbers and titles not counted."""

_WEIGHTS = {"quoted": 3.0, "covered": 3.0, "whole": 1.0, "focused": 2.0, "distinct": 1.0, "named": 0.5, "length": 0.5}
_CLAIM = re.compile(r'^"(?P<quote>.*)" \[(?P<number>\d+)\](?P<title>.*)$')
_WHOLE = re.compile(r"[A-Z\"'`*][^\s(]*( \S+){3}.*[.!?:)]$")
_SAME = 0.7
"""Two quotations that share this part of their words say the same."""
_WEAK = 0.5
"""How much a word counts that occurs in every second question ("get", "file name")."""


class Claim(BaseModel):
    """One line of an answer.

    Attributes:
        passage: the number it names, from 1; 0 if the line is no quotation with a number.
    """

    quote: str
    passage: int
    title: str


class Score(BaseModel):
    """How good an answer is.

    Attributes:
        total: the weighted mean of the criteria, 0 to 1.
        criteria: each by name. quoted: claims that stand word for word in the passage they name. covered: words
            of the question, or their synonyms, that the quotations hold. whole: quotations that are sentences.
            focused: the share of the source most quoted from. distinct: claims that repeat no other. named:
            claims that name the title of their passage. length: 1 within bounds.
        missing: words of the question that the answer lacks, in order.
    """

    total: float
    criteria: dict[str, float]
    missing: list[str]


def claims(answer: str) -> list[Claim]:
    """The lines of an answer; what is not a quotation with a passage number is a claim of no passage."""
    return [_claim(line.strip()) for line in answer.splitlines() if line.strip()]


def written(found: Sequence[Claim]) -> str:
    """Claims as an answer; ``claims`` reads them back."""
    return "\n".join(f'"{claim.quote}" [{claim.passage}] {claim.title}'.rstrip() for claim in found)


def score(question: str, answer: str, passages: Sequence[Passage]) -> Score:
    """Judge an answer by the passages it was made from; the same for everybody who asks."""
    found = claims(answer)
    if not found:
        missing = keywords(question)
        return Score(total=0.0, criteria=dict.fromkeys(_WEIGHTS, 0.0), missing=missing)
    named = [(claim, _passage(claim, passages)) for claim in found]
    covered, missing = _coverage(question, found)
    criteria = {
        "quoted": _share(passage is not None and _holds(passage, claim) for claim, passage in named),
        "covered": covered,
        "whole": _share(_WHOLE.match(claim.quote) is not None for claim in found),
        "focused": _focus([passage.source for _, passage in named if passage is not None], len(found)),
        "distinct": 1 - len(_repeating(found)) / len(found),
        "named": _share(passage is not None and passage.title in claim.title for claim, passage in named),
        "length": _within_bounds(sum(len(claim.quote) for claim in found)),
    }
    total = sum(_WEIGHTS[name] * value for name, value in criteria.items()) / sum(_WEIGHTS.values())
    return Score(total=round(total, 4), criteria={n: round(v, 4) for n, v in criteria.items()}, missing=missing)


def _claim(line: str) -> Claim:
    match = _CLAIM.match(line)
    if match is None:
        return Claim(quote=line, passage=0, title="")
    return Claim(quote=match["quote"], passage=int(match["number"]), title=match["title"].strip())


def _passage(claim: Claim, passages: Sequence[Passage]) -> Passage | None:
    return passages[claim.passage - 1] if 1 <= claim.passage <= len(passages) else None


def _holds(passage: Passage, claim: Claim) -> bool:
    quote = " ".join(claim.quote.split())
    return bool(quote) and quote in " ".join(passage.text.split())


def _coverage(question: str, found: Sequence[Claim]) -> tuple[float, list[str]]:
    """The share of the question that the claims hold, weak words counting half, and what they lack."""
    held = {stem(word) for claim in found for word in _words(f"{claim.quote} {claim.title}")}
    words = keywords(question)
    weights = {word: _WEAK if word.lower() in WEAK_WORDS else 1.0 for word in words}
    missing = [word for word in words if not meanings(word) & held]
    return 1 - sum(weights[word] for word in missing) / sum(weights.values()), missing


def meanings(word: str) -> set[str]:
    """The stems by which an answer may speak of a word of the question."""
    said = [word, *SYNONYMS.get(word.lower(), ())]
    return {stem(part) for each in said for part in _words(each)}


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def _focus(sources: Sequence[str], count: int) -> float:
    return max(Counter(sources).values()) / count if sources else 0.0


def _repeating(found: Sequence[Claim]) -> set[int]:
    """The places of claims that say what an earlier one says."""
    words = [{stem(word) for word in _words(claim.quote)} for claim in found]
    pairs = combinations(range(len(found)), 2)
    return {later for first, later in pairs if _alike(words[first], words[later])}


def _alike(one: set[str], other: set[str]) -> bool:
    return len(one & other) >= _SAME * max(1, min(len(one), len(other)))


def _within_bounds(length: int) -> float:
    return min(1.0, length / SHORTEST, LONGEST / max(1, length))


def _share(facts: Iterable[bool]) -> float:
    known = list(facts)
    return sum(known) / len(known)
