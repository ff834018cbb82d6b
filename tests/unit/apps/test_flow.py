"""What the workflow's steps hand on, one after the other without an engine, and how good the answers are."""

from __future__ import annotations

import inspect
import json
import os
import textwrap
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from apps.search import app, shards
from apps.search.answer import Passage, QuotingWriter, best_quotes
from apps.search.corpus import CorpusMismatchError
from apps.search.events import Hit, Hits, Job, Shard, ShardReady
from apps.search.index import ShardIndex, Wanted

QUESTIONS = {
    "How do I parse command line arguments?": "argparse",
    "merge sorted iterables": "heapq",
    "How do I read a CSV file row by row?": "csv",
    "How can I create a temporary directory?": "tempfile",
    "How do I copy a whole directory tree?": "shutil",
    "How can I cache the results of a function?": "functools",
    "How do I list all permutations of a sequence?": "itertools",
    "How do I compute the median of a list of numbers?": "statistics",
    "How do I do exact decimal arithmetic?": "decimal",
    "How do I encode binary data as base64?": "base64",
    "How do I read a zip archive?": "zipfile",
    "How do I connect to an SQLite database?": "sqlite3",
    "How do I send an email over SMTP?": "smtplib",
    "How do I work with IPv4 addresses and networks?": "ipaddress",
    "How do I generate a unique identifier?": "uuid",
    "How do I measure the execution time of a small code snippet?": "timeit",
    "How do I wrap text to a width?": "textwrap",
    "How do I search with a regular expression?": "re",
    "How do I hold a weak reference to an object?": "weakref",
    "How do I test examples in docstrings?": "doctest",
}


def ready(job: Job, worker: str = "w") -> list[ShardReady]:
    made: list[ShardReady] = []
    for shard in shards.plan_shards(job, worker):
        built = shards.build(job, shard)
        made.append(
            ShardReady(
                job=job,
                shard=shard,
                built=built.built,
                passages=built.passages,
                frequencies=built.frequencies,
                worker=f"{worker}{shard.number % 2}",
            )
        )
    return made


def hits(job: Job) -> list[Hits]:
    return [
        Hits(
            job=job,
            shard=task.shard,
            kind=task.kind,
            hits=shards.search(
                job,
                task.shard,
                Wanted(terms=task.terms, corpus_size=task.corpus_size, every=task.every),
                app.list_length(job),
            ),
            worker="s",
            trail=task.trail,
        )
        for task in app.search_tasks(ready(job), "i")
    ]


def answered(job: Job) -> list[Passage]:
    candidates = app.rank(hits(job))
    return [
        Passage(source=text.source, title=text.title, text=text.text, score=candidate.score)
        for text, candidate in zip(shards.fetch(job, candidates), candidates, strict=True)
    ]


def test_one_question_is_sixty_steps() -> None:
    job = Job(question="How do I merge sorted iterables?")
    tasks = app.search_tasks(ready(job), "i")
    assert len(tasks) == 6 * 8
    assert 1 + 8 + 1 + len(tasks) + 1 + 1 == 60


def test_the_trail_counts_who_did_what(folder: Path, own_cache: Path) -> None:
    job = Job(question="cats", shards=4, corpus=str(folder))
    assert app.search_tasks(ready(job), "i")[0].trail == {
        "w": {"plan": 1},
        "i": {"indexed": 1},
        "w0": {"build_shard": 2},
        "w1": {"build_shard": 2},
    }


def test_at_least_fifteen_of_twenty_questions_find_their_module_among_five_passages() -> None:
    found = {question: {passage.source for passage in answered(Job(question=question))} for question in QUESTIONS}
    missed = {question: found[question] for question, module in QUESTIONS.items() if module not in found[question]}
    assert len(missed) <= 5, missed


def test_quotations_occur_in_the_documentation() -> None:
    job = Job(question="How do I wrap text to a width?")
    found = answered(job)
    number, quote = best_quotes(job.question, found)[0]
    assert found[number - 1].source == "textwrap"
    assert quote in " ".join(found[number - 1].text.split())
    assert quote in " ".join(inspect.getsource(textwrap).split())


def test_there_are_two_hundred_different_questions_to_ask() -> None:
    lines = Path(app.__file__).with_name("questions.txt").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 200


def test_a_folder_is_searched_like_the_documentation(folder: Path, own_cache: Path) -> None:
    found = answered(Job(question="What do cats eat?", corpus=str(folder), shards=3))
    assert found[0].title == "guide.md: Feeding cats"
    assert len(list(own_cache.glob("*.sqlite"))) == 3


def test_a_question_that_matches_nothing_has_no_passages(folder: Path, own_cache: Path) -> None:
    assert answered(Job(question="xylophone", corpus=str(folder), shards=2)) == []


def test_a_machine_with_other_texts_refuses_and_names_both_hashes(folder: Path, own_cache: Path) -> None:
    job = Job(question="cats", corpus=str(folder), shards=1)
    (planned,) = shards.plan_shards(job, "host-a:1")
    (folder / "notes.txt").write_text("Another text, as on a machine with another copy.")
    (here,) = shards.plan_shards(job, "host-b:1")
    with pytest.raises(CorpusMismatchError, match=f"host-a:1.*{planned.identity}.*{here.identity}"):
        shards.build(job, planned)
    assert not list(own_cache.glob("*.sqlite"))


def test_a_search_on_a_machine_without_the_shard_builds_it_first(folder: Path, own_cache: Path) -> None:
    job = Job(question="cats", corpus=str(folder), shards=1)
    (planned,) = shards.plan_shards(job, "host-a:1")
    wanted = Wanted(terms={'"cats"': 1}, corpus_size=5)
    assert shards.search(job, planned, wanted, 5)[0].source == "guide.md"
    assert ShardIndex(folder=own_cache, identity=planned.identity).path.is_file()


def test_an_index_damaged_while_in_use_is_built_again(folder: Path, own_cache: Path) -> None:
    job = Job(question="cats", corpus=str(folder), shards=1)
    (planned,) = shards.plan_shards(job, "host-a:1")
    shards.build(job, planned)
    path = ShardIndex(folder=own_cache, identity=planned.identity).path
    status = path.stat()
    path.write_bytes(b"?" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # so that only reading it tells
    assert shards.search(job, planned, Wanted(terms={'"cats"': 1}, corpus_size=5), 5)


def test_a_ranking_merges_shards_by_score_and_queries_by_rank() -> None:
    job = Job(question="q", shards=2, top_k=3)

    def found(kind: str, number: int, *scored: tuple[int, float]) -> Hits:
        shard = Shard(number=number, identity="x", planned_by="w")
        return Hits(
            job=job,
            shard=shard,
            kind=kind,
            hits=[
                Hit(row=row, title=f"{number}/{row}", source=f"{number}/{row}", score=score, snippet="")
                for row, score in scored
            ],
            worker="w",
            trail={},
        )

    # any: 1/1 (9), 0/1 (5), 0/2 (1); near: 0/1 (0.3), 1/1 (0.2), 0/2 (0.1), 0/1 and 1/1 are a tie
    ranked = app.rank(
        [
            found("any", 0, (1, 5.0), (2, 1.0)),
            found("any", 1, (1, 9.0)),
            found("near", 0, (1, 0.3), (2, 0.1)),
            found("near", 1, (1, 0.2)),
        ]
    )
    assert [candidate.title for candidate in ranked] == ["1/1", "0/1", "0/2"]
    assert ranked[2].score == pytest.approx(2 / 63)


async def test_the_result_is_plain_json(folder: Path, own_cache: Path) -> None:
    job = Job(question="What do cats eat?", corpus=str(folder), shards=2)
    found = answered(job)
    answer = await QuotingWriter().write(job.question, found)
    assert "Cats eat fish." in answer
    plain = TypeAdapter(list[Passage]).dump_python(found)
    assert json.loads(json.dumps(plain)) == plain
