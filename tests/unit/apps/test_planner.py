from __future__ import annotations

from pathlib import Path

import pytest

from apps.search.documents import Document
from apps.search.index import ShardIndex, Wanted
from apps.search.planner import Query, keywords, known_terms, plan_queries


def queries(question: str, limit: int = 6) -> dict[str, Query]:
    return {query.kind: query for query in plan_queries(question, limit)}


def test_stop_words_are_left_out() -> None:
    assert keywords("How do I parse the command line in Python?") == ["parse", "command", "line"]


def test_a_question_of_stop_words_keeps_them() -> None:
    assert keywords("what is it") == ["what", "is", "it"]


def test_each_word_is_asked_once() -> None:
    assert keywords("sort, sort and SORT") == ["sort", "SORT"]


def test_a_question_becomes_six_queries() -> None:
    assert list(queries("How do I merge sorted iterables?")) == [
        "any",
        "synonyms",
        "names",
        "subject",
        "every",
        "near",
    ]


def test_the_number_of_queries_can_be_limited() -> None:
    assert list(queries("merge sorted iterables", limit=2)) == ["any", "synonyms"]


def test_synonyms_are_added_to_the_words() -> None:
    assert {'"dictionary"', '"dict"', '"mapping"'} <= set(queries("copy a dictionary")["synonyms"].terms)


@pytest.mark.parametrize(
    ("question", "part"),
    [("os.path.join", "path"), ("ArgumentParser", "Argument"), ("get_close_matches", "close")],
)
def test_identifiers_are_also_asked_by_their_parts(question: str, part: str) -> None:
    assert f'{{title names}} : "{part}"' in queries(question)["names"].terms


def test_neighbours_are_also_asked_as_one_identifier() -> None:
    assert '{title names} : "defaultdict"' in queries("use default dict")["names"].terms


def test_words_of_little_meaning_are_not_looked_up_in_names() -> None:
    assert '{title names} : "create"' not in queries("create a socket")["names"].terms


def test_neighbours_are_asked_near_each_other() -> None:
    assert queries("command line arguments")["near"].terms == (
        'NEAR("command" "line", 5)',
        'NEAR("line" "arguments", 5)',
    )


def test_queries_that_come_out_the_same_are_asked_once() -> None:
    assert list(queries("xylophone")) == ["any", "names", "subject"]


def test_terms_that_are_nowhere_are_dropped() -> None:
    query = Query(kind="every", terms=('"a"', '"b"'), every=True)
    assert known_terms(query, {'"a"': 3, '"b"': 0}).terms == ('"a"',)


def test_a_query_of_unknown_terms_is_asked_all_the_same() -> None:
    query = Query(kind="any", terms=('"a"',))
    assert known_terms(query, {}) == query


@pytest.mark.parametrize(
    "question",
    [
        'what does "quoted" do',
        "a OR b AND NOT c",
        "NEAR(x, y)",
        "title: * ^ { } ( )",
        "???",
        "'; DROP TABLE passages; --",
        "nul \0 byte",
        "日本語 のドキュメント",
        "x" * 5_000,
    ],
)
def test_whatever_is_asked_is_a_query_that_sqlite_takes(question: str, tmp_path: Path) -> None:
    index = ShardIndex(folder=tmp_path, identity="abc")
    index.ensure(lambda: [Document(title="t", source="s", about="", text="quoted text")])
    planned = plan_queries(question, 6)
    assert planned
    for query in planned:
        index.search(Wanted(terms=index.frequencies(query.terms), corpus_size=1, every=query.every), 5)
