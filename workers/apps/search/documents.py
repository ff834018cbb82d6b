"""What is searched: documents, and how a long text becomes passages of a readable length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PASSAGE_LENGTH = 1_500
"""Characters a passage has at most; longer texts are cut between paragraphs, else between lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One thing that can be found and quoted.

    Attributes:
        title: what it is called: a dotted Python name, or file and heading.
        source: what a reader would open: a module, a language topic, a file.
        about: one line on the whole of which it is a part; "" if unknown.
        text: what is quoted, verbatim.
    """

    title: str
    source: str
    about: str
    text: str


def passages(document: Document) -> Iterator[Document]:
    """Cut a document into parts of at most ``PASSAGE_LENGTH`` characters, in order."""
    for text in _cut(document.text.strip("\n")):
        if text.strip():
            yield Document(title=document.title, source=document.source, about=document.about, text=text)


def _cut(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > PASSAGE_LENGTH:
        end = _cut_at(text, start)
        yield text[start:end].strip("\n")
        start = end
    yield text[start:].strip("\n")


def _cut_at(text: str, start: int) -> int:
    """Where the passage from ``start`` ends: at the last gap in its second half, else at full length."""
    middle, limit = start + PASSAGE_LENGTH // 2, start + PASSAGE_LENGTH
    for separator in ("\n\n", "\n", ". ", " "):
        found = text.rfind(separator, middle, limit)
        if found > 0:
            return found + len(separator)
    return limit
