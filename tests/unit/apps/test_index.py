from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apps.search import index as index_module
from apps.search.documents import Document
from apps.search.index import ShardIndex, Wanted, identifier_words

TEXTS = ("Cats eat fish.", "Dogs eat meat and more meat.", "Birds sing.")


def documents(texts: Sequence[str] = TEXTS) -> list[Document]:
    return [Document(title=f"text.number{n}", source=f"s{n}", about="", text=text) for n, text in enumerate(texts)]


def wanted(*terms: str, every: bool = False) -> Wanted:
    return Wanted(terms=dict.fromkeys(terms, 1), corpus_size=30, every=every)


@pytest.fixture
def index(tmp_path: Path) -> ShardIndex:
    index = ShardIndex(folder=tmp_path / "indexes", identity="abc")
    index.ensure(documents)
    return index


def test_the_best_match_comes_first_with_a_snippet(index: ShardIndex) -> None:
    found = index.search(wanted('"meat"', '"eat"'), 10)
    assert [one.source for one in found] == ["s1", "s0"]
    assert "meat" in found[0].snippet
    assert found[0].score > found[1].score > 0


def test_every_asks_for_all_terms(index: ShardIndex) -> None:
    assert [one.source for one in index.search(wanted('"eat"', '"fish"', every=True), 10)] == ["s0"]


def test_no_more_than_the_limit_is_found(index: ShardIndex) -> None:
    assert len(index.search(wanted('"eat"'), 1)) == 1


def test_words_are_found_in_other_forms(index: ShardIndex) -> None:
    assert [one.source for one in index.search(wanted('"singing"'), 10)] == ["s2"]


def test_frequencies_count_passages(index: ShardIndex) -> None:
    assert index.frequencies(['"eat"', '"meat"', '"nowhere"']) == {'"eat"': 2, '"meat"': 1, '"nowhere"': 0}


def test_a_term_weighs_by_its_frequency_in_the_whole_corpus_not_in_the_shard(tmp_path: Path) -> None:
    # "alpha" is everywhere in the first shard and rare in the corpus: there it must count as in the second.
    crowded = ShardIndex(folder=tmp_path, identity="crowded")
    crowded.ensure(lambda: documents(["alpha one", "alpha two", "alpha three", "alpha four"]))
    sparse = ShardIndex(folder=tmp_path, identity="sparse")
    sparse.ensure(lambda: documents(["alpha one", "beta two", "gamma three", "delta four"]))
    asked = Wanted(terms={'"alpha"': 5}, corpus_size=100)
    assert crowded.search(asked, 1)[0].score == pytest.approx(sparse.search(asked, 1)[0].score)


def test_one_large_shard_and_many_small_ones_give_the_same_order(tmp_path: Path) -> None:
    texts = [f"word{number % 7} and word{number % 3} text" for number in range(60)]
    whole = ShardIndex(folder=tmp_path, identity="whole")
    whole.ensure(lambda: documents(texts))
    frequencies = whole.frequencies(['"word1"', '"word2"', '"word5"'])
    asked = Wanted(terms=frequencies, corpus_size=60)
    scores: list[float] = []
    for part in range(3):
        shard = ShardIndex(folder=tmp_path, identity=f"part{part}")
        shard.ensure(lambda part=part: documents(texts[part * 20 : part * 20 + 20]))
        scores += [one.score for one in shard.search(asked, 100)]
    assert sorted(scores, reverse=True) == pytest.approx([one.score for one in whole.search(asked, 100)], rel=1e-6)


def test_texts_come_back_verbatim(index: ShardIndex) -> None:
    row = index.search(wanted('"fish"'), 1)[0].row
    assert index.fetch([row, 999]) == {row: documents()[0]}


def test_an_index_is_built_once_by_many_processes_that_start_together(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from apps.search.index import ShardIndex; "
        "from apps.search.documents import Document; "
        "index = ShardIndex(folder=Path(sys.argv[1]), identity='abc'); "
        "texts = [Document(title=f't{n}', source='s', about='', text=f'text {n} ' * 20) "
        "for n in range(3000)]; "
        "print('ready', flush=True); sys.stdin.readline(); print(index.ensure(lambda: texts), index.count())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = sorted(process.communicate(timeout=30)[0].strip() for process in processes)
    assert answers == ["False 3000"] * 3 + ["True 3000"]


def test_an_index_is_built_once_by_many_threads(tmp_path: Path) -> None:
    index = ShardIndex(folder=tmp_path, identity="abc")
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: index.ensure(documents), range(8)))
    assert sorted(built) == [False] * 7 + [True]


def test_an_index_that_is_there_is_not_built_again(index: ShardIndex) -> None:
    def never() -> list[Document]:
        raise AssertionError("must not be read")

    assert index.ensure(never) is False


def test_other_content_has_an_index_of_its_own(index: ShardIndex) -> None:
    other = ShardIndex(folder=index.folder, identity="other")
    assert other.ensure(lambda: documents(["Something else"])) is True
    assert index.count() == 3


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b"not a database"), id="overwritten"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-4096]), id="cut-off"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes().replace(b"fish", b"fosh")), id="one-letter"),
        pytest.param(lambda path: path.with_suffix(".sum").write_text("?"), id="checksum"),
        pytest.param(lambda path: path.with_suffix(".sum").unlink(), id="no-checksum"),
    ],
)
def test_a_damaged_file_is_built_again(index: ShardIndex, damage: object) -> None:
    assert callable(damage)
    damage(index.path)
    new_process_would_see = ShardIndex(folder=index.folder, identity=index.identity)
    forget_what_was_verified()
    assert new_process_would_see.ensure(documents) is True
    assert [one.source for one in index.search(wanted('"fish"'), 10)] == ["s0"]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    index = ShardIndex(folder=tmp_path, identity="abc")

    def broken() -> list[Document]:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        index.ensure(broken)
    assert [path.name for path in tmp_path.iterdir()] == ["abc.lock"]
    assert index.ensure(documents) is True


def test_a_discarded_index_is_built_again(index: ShardIndex) -> None:
    index.discard()
    assert index.ensure(documents) is True


def test_a_query_that_is_not_fts5_is_a_database_error(index: ShardIndex) -> None:
    with pytest.raises(sqlite3.DatabaseError):
        index.search(wanted('"open'), 1)


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("http.HTTPStatus.is_error", "http HTTP Status is error"),
        ("ArgumentParser", "Argument Parser"),
        ("sha256", "sha 256"),
        ("plain", "plain"),
    ],
)
def test_identifiers_are_split_into_their_words(identifier: str, words: str) -> None:
    assert identifier_words(identifier) == words


def forget_what_was_verified() -> None:
    """As in a process that has not looked at any file yet."""
    index_module._verified.clear()
