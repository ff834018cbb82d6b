"""One question becomes several queries, from loose to strict; what one of them misses another finds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from apps.search.index import identifier_words
from apps.search.words import STOP_WORDS, SYNONYMS, WEAK_WORDS

_WORD = re.compile(r"[^\W_][\w.]*[^\W_]|[^\W_]", re.UNICODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One way to ask: passages that match any of the terms, or every one.

    Attributes:
        kind: the way's name: any, synonyms, names, subject, every, near.
        terms: FTS5 expressions, each once.
        every: a passage must match all of them.
    """

    kind: str
    terms: tuple[str, ...]
    every: bool = False


def keywords(question: str) -> list[str]:
    """The words that say what is asked, in order, each once; all words where nothing else is left."""
    words = _WORD.findall(question)
    telling = [word for word in words if word.lower() not in STOP_WORDS]
    return list(dict.fromkeys(telling or words))


def plan_queries(question: str, limit: int) -> list[Query]:
    """At most ``limit`` different queries, the most general first; at least one for any question."""
    words = keywords(question) or [question]
    strong = [word for word in words if word.lower() not in WEAK_WORDS] or words
    names = [*strong, *_parts(words), *_joined(words)]
    queries = [
        Query(kind="any", terms=_terms(words)),
        Query(kind="synonyms", terms=_terms([*words, *_synonyms(words)])),
        Query(kind="names", terms=_terms(names, columns="title names")),
        Query(kind="subject", terms=_terms([*strong, *_synonyms(strong)], columns="title about")),
        Query(kind="every", terms=_terms(words), every=True),
        Query(kind="near", terms=_near(words)),
    ]
    first_of = {(query.terms, query.every and len(words) > 1): query for query in reversed(queries)}
    return [query for query in queries if query in first_of.values()][:limit]


def known_terms(query: Query, frequencies: Mapping[str, int]) -> Query:
    """The query without terms that occur nowhere in the corpus; the query itself if none of them does."""
    known = tuple(term for term in query.terms if frequencies.get(term))
    return replace(query, terms=known or query.terms)


def _parts(words: Iterable[str]) -> list[str]:
    """The words inside identifiers: of ``os.pathSep``, ``os path Sep``; of a plain word, nothing."""
    split = [identifier_words(word).split() for word in words]
    return [part for parts in split if len(parts) > 1 for part in parts]


def _joined(words: Sequence[str]) -> list[str]:
    """Neighbours written as one identifier: of "default dict", ``defaultdict``."""
    return [first + second for first, second in pairwise(words)]


def _synonyms(words: Iterable[str]) -> list[str]:
    return [synonym for word in words for synonym in SYNONYMS.get(word.lower(), ())]


def _near(words: Sequence[str]) -> tuple[str, ...]:
    if len(words) == 1:
        return _terms(words)
    pairs = pairwise(words)
    return tuple(f"NEAR({_quoted(first)} {_quoted(second)}, 5)" for first, second in pairs)


def _terms(words: Iterable[str], columns: str | None = None) -> tuple[str, ...]:
    where = f"{{{columns}}} : " if columns else ""
    return tuple(where + _quoted(word) for word in dict.fromkeys(words))


def _quoted(word: str) -> str:
    """A word or phrase as FTS5 takes it literally, whatever characters it has."""
    return '"' + word.replace('"', '""').replace("\0", " ") + '"'
