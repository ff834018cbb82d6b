"""A corpus and its shards: machines with the same texts cut the same shards, known by their content.

Nothing here crosses from machine to machine but the hash of a shard: whoever needs one reads his own copy.
"""

from __future__ import annotations

import hashlib
import platform
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from typing_extensions import assert_never

from apps.search import python_docs, text_files
from apps.search.documents import Document, passages
from broker_wf.errors import WorkflowRuntimeError

_FORMAT = b"1"
"""Part of every identity: raise it when documents are made differently from the same texts."""

_SourceKind = Literal["file", "module", "c-module", "topic"]


class CorpusMissingError(WorkflowRuntimeError):
    """The corpus is not on this machine, or holds nothing to read. Nothing was built."""


class CorpusMismatchError(WorkflowRuntimeError):
    """A machine's corpus is not the one the run was planned with. Nothing was built or searched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One text before it is read.

    Attributes:
        name: unique in its corpus, the same on every machine.
        path: its file; None for what is inside the interpreter.
        stamp: the file's size and time of change (ns), which tell that it is as it was; zeros without a file.
    """

    name: str
    kind: _SourceKind
    path: Path | None = None
    stamp: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardContent:
    """A shard's documents as they lie on this machine, and the hash of what they were made from."""

    identity: str
    documents: list[Document]


def list_sources(corpus: str | None) -> list[Source]:
    """Everything a corpus consists of, sorted by name.

    Args:
        corpus: a folder; None for the documentation of this Python.

    Raises:
        CorpusMissingError: the folder is not here, or has no text, Markdown or HTML file.
    """
    if corpus is None:
        return sorted(_python_sources(), key=lambda source: source.name)
    folder = Path(corpus)
    if not folder.is_dir():
        raise CorpusMissingError(f"the corpus {corpus!r} is not a folder on {socket.gethostname()}")
    sources = [_file_source("file", name, path) for name, path in text_files.text_files(folder)]
    if not sources:
        raise CorpusMissingError(f"the corpus {corpus!r} on {socket.gethostname()} has no text, Markdown or HTML file")
    return sources


def shard_identities(corpus: str | None, shards: int) -> tuple[str, ...]:
    """The hash of each shard of this machine's copy, by shard number.

    Raises:
        CorpusMissingError: as ``list_sources``.
    """
    return _identities(tuple(list_sources(corpus)), shards)


def read_shard(corpus: str | None, shards: int, number: int) -> ShardContent:
    """Read one shard of this machine's copy, cut into passages.

    Args:
        corpus: as ``list_sources``.
        shards: into how many the corpus is cut.
        number: 0 .. shards - 1.

    Raises:
        CorpusMissingError: as ``list_sources``.
    """
    chosen = [source for source in list_sources(corpus) if shard_of(source.name, shards) == number]
    contents = [(source, _content(source)) for source in chosen]
    return ShardContent(
        identity=_identity((source.name, _digest(content)) for source, content in contents),
        documents=[
            passage
            for source, content in contents
            for document in _documents(source, content)
            for passage in passages(document)
        ],
    )


def require_same(*, corpus: str | None, number: int, planned: str, planned_by: str, found: str) -> None:
    """Refuse to go on with another corpus than the plan's.

    Raises:
        CorpusMismatchError: ``found`` is not ``planned``; the text names both.
    """
    if found != planned:
        here = f"{socket.gethostname()} (Python {platform.python_version()})"
        what = "the documentation of this Python" if corpus is None else f"the corpus {corpus!r}"
        raise CorpusMismatchError(
            f"shard {number} of {what} differs between machines: planned by {planned_by} with hash "
            f"{planned}, but on {here} its hash is {found}. Give all workers the same Python "
            "version and the same texts."
        )


def shard_of(name: str, shards: int) -> int:
    """The shard of a source: by its name alone, so that a changed text touches no other shard."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % shards


def _python_sources() -> Iterator[Source]:
    for name, path in python_docs.module_files():
        yield _file_source("module", name, path)
    for name in python_docs.c_module_texts():
        yield Source(name=f"C {name}", kind="c-module")
    for name in python_docs.topic_texts():
        yield Source(name=f"topic {name}", kind="topic")


def _file_source(kind: Literal["file", "module"], name: str, path: Path) -> Source:
    status = path.stat()
    return Source(name=name, kind=kind, path=path, stamp=(status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=4)
def _identities(sources: tuple[Source, ...], shards: int) -> tuple[str, ...]:
    """As ``shard_identities``; remembered until a file's stamp changes, for hashing reads every text."""
    digests: list[list[tuple[str, bytes]]] = [[] for _ in range(shards)]
    for source in sources:
        digests[shard_of(source.name, shards)].append((source.name, _digest(_content(source))))
    return tuple(_identity(iter(members)) for members in digests)


def _identity(members: Iterator[tuple[str, bytes]]) -> str:
    total = hashlib.sha256(_FORMAT)
    for name, digest in members:
        total.update(hashlib.sha256(name.encode()).digest() + digest)
    return total.hexdigest()[:20]


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _content(source: Source) -> bytes:
    match source.kind:
        case "file" | "module":
            assert source.path is not None
            return source.path.read_bytes()
        case "c-module":
            return python_docs.c_module_texts()[source.name.removeprefix("C ")].encode()
        case "topic":
            return python_docs.topic_texts()[source.name.removeprefix("topic ")].encode()
        case _:
            assert_never(source.kind)


def _documents(source: Source, content: bytes) -> Iterator[Document]:
    match source.kind:
        case "file":
            yield from text_files.file_documents(source.name, content)
        case "module":
            yield from python_docs.module_documents(source.name, content)
        case "c-module":
            yield from python_docs.c_module_documents(source.name.removeprefix("C "), content)
        case "topic":
            yield python_docs.topic_document(source.name.removeprefix("topic "), content.decode())
        case _:
            assert_never(source.kind)
