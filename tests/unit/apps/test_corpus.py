from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apps.search import corpus
from apps.search.documents import PASSAGE_LENGTH, Document, passages
from apps.search.python_docs import module_documents
from broker_wf.errors import WorkflowRuntimeError


def everything(where: str | None, shards: int = 4) -> list[Document]:
    return [text for number in range(shards) for text in corpus.read_shard(where, shards, number).documents]


@pytest.fixture(scope="module")
def python_documents() -> list[Document]:
    return everything(None)


def test_pythons_own_documentation_has_thousands_of_documents(python_documents: list[Document]) -> None:
    assert len({document.title for document in python_documents}) > 3_000


@pytest.mark.parametrize(
    "title",
    ["argparse", "heapq.merge", "itertools.chain", "str.split", "os.listdir", "csv.reader", "tomllib.loads"],
)
def test_modules_in_python_and_in_c_and_their_contents_are_found(title: str, python_documents: list[Document]) -> None:
    if title == "tomllib.loads" and sys.version_info < (3, 11):
        pytest.skip("new in 3.11")
    assert title in {document.title for document in python_documents}


def test_language_topics_are_documents(python_documents: list[Document]) -> None:
    pytest.importorskip("pydoc_data.topics")
    assert {"topic with", "topic lambda"} <= {document.source for document in python_documents}


def test_no_module_with_side_effects_is_imported() -> None:
    script = (
        "import sys; from apps.search import corpus; corpus.read_shard(None, 1, 0); "
        "print(sorted({'antigravity', 'this', 'turtle', 'tkinter', 'idlelib'} & set(sys.modules)))"
    )
    assert in_new_process(script) == "[]"


def test_another_process_computes_the_same_shards() -> None:
    script = "from apps.search import corpus; print(corpus.shard_identities(None, 8))"
    assert in_new_process(script) == str(corpus.shard_identities(None, 8))


def test_reading_a_shard_gives_the_identity_it_was_planned_with(folder: Path) -> None:
    planned = corpus.shard_identities(str(folder), 3)
    assert planned == tuple(corpus.read_shard(str(folder), 3, number).identity for number in range(3))


def test_what_a_process_does_to_its_modules_changes_no_shard() -> None:
    script = (
        "import sys, builtins; sys.excepthook = lambda *_: 'doc'; builtins.added = print; "
        "del builtins.copyright; from apps.search import corpus; print(corpus.shard_identities(None, 8))"
    )
    assert in_new_process(script) == str(corpus.shard_identities(None, 8))


def test_threads_that_parse_at_one_time_do_not_disturb_each_other() -> None:
    source = b'"""Many nodes."""\nx = [' + b"(1, [2, {3: 4}]), " * 400 + b"]\n"

    def let_another_thread_in(phase: str, info: dict[str, int]) -> None:
        time.sleep(0.0001)

    gc.callbacks.append(let_another_thread_in)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: list(module_documents("m", source)), range(40)))
    finally:
        gc.callbacks.remove(let_another_thread_in)
    assert {documents[0].text for documents in found} == {"Many nodes."}


def test_a_copy_at_another_place_has_the_same_shards(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert corpus.shard_identities(str(folder), 3) == corpus.shard_identities(str(tmp_path / "copy"), 3)


def test_a_changed_text_changes_its_own_shard_only(folder: Path) -> None:
    before = corpus.shard_identities(str(folder), 16)
    (folder / "notes.txt").write_text("Something else entirely.")
    after = corpus.shard_identities(str(folder), 16)
    changed = [number for number in range(16) if before[number] != after[number]]
    assert changed == [corpus.shard_of("notes.txt", 16)]


def test_every_source_is_in_exactly_one_shard(folder: Path) -> None:
    one = sorted(document.text for document in everything(str(folder), shards=1))
    assert one == sorted(document.text for document in everything(str(folder), shards=5))


def test_markdown_is_cut_at_its_headings_and_not_inside_code(folder: Path) -> None:
    found = {d.title: d.text for d in everything(str(folder)) if d.source == "guide.md"}
    assert set(found) == {"guide.md: The guide", "guide.md: Feeding cats"}
    assert "Cats eat fish." in found["guide.md: Feeding cats"]
    assert "# not a heading" in found["guide.md: Feeding cats"]


def test_html_gives_its_visible_text_under_its_headings(folder: Path) -> None:
    found = {d.title: d.text for d in everything(str(folder)) if d.source == "sub/page.html"}
    assert found == {
        "sub/page.html: Dogs & co": "About dogs.",
        "sub/page.html: Walking dogs": "Dogs like long walks.\nTwice a day.",
    }


def test_other_files_and_hidden_ones_are_left_out(folder: Path) -> None:
    assert {d.source for d in everything(str(folder))} == {"guide.md", "notes.txt", "sub/page.html"}


def test_bytes_that_are_not_text_do_not_stop_the_reading(folder: Path) -> None:
    (folder / "odd.txt").write_bytes(b"caf\xe9 \xff latin")
    assert any("latin" in document.text for document in everything(str(folder)))


def test_a_missing_folder_is_an_error_that_names_it() -> None:
    with pytest.raises(corpus.CorpusMissingError, match="/no/such/folder"):
        corpus.list_sources("/no/such/folder")


def test_a_folder_without_texts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(corpus.CorpusMissingError, match="no text, Markdown or HTML"):
        corpus.list_sources(str(tmp_path))


def test_another_hash_than_the_planned_one_is_refused_and_both_are_named() -> None:
    with pytest.raises(WorkflowRuntimeError, match=r"(?s)host-a:1.*aaaa.*bbbb"):
        corpus.require_same(corpus=None, number=3, planned="aaaa", planned_by="host-a:1", found="bbbb")


def test_a_long_text_is_cut_into_passages_that_lose_nothing() -> None:
    text = "\n\n".join(f"Paragraph {number}. " + "word " * 60 for number in range(20))
    parts = list(passages(Document(title="t", source="s", about="", text=text)))
    assert all(len(part.text) <= PASSAGE_LENGTH for part in parts)
    assert " ".join(" ".join(part.text for part in parts).split()) == " ".join(text.split())


def test_a_text_without_any_gap_is_cut_all_the_same() -> None:
    parts = list(passages(Document(title="t", source="s", about="", text="x" * 4_000)))
    assert [len(part.text) for part in parts] == [PASSAGE_LENGTH, PASSAGE_LENGTH, 1_000]


def in_new_process(script: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
