"""A folder of text, Markdown and HTML files as documents: one for each section under a heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

from apps.search.documents import Document

_MARKDOWN = frozenset({".md", ".markdown"})
_HTML = frozenset({".html", ".htm"})
_SUFFIXES = _MARKDOWN | _HTML | {".txt", ".text", ".rst"}
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_SKIPPED = frozenset({"script", "style", "nav", "svg", "template", "noscript"})
_BLOCK_TAGS = """
address article aside blockquote br dd div dl dt figure footer form header hr li main ol p pre section table
td th tr ul
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_Section = tuple[str, str]


def text_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Relative name and path of every readable text in the folder, sorted; without hidden files and links."""
    found = [
        (file.relative_to(folder), file)
        for file in folder.rglob("*")
        if file.suffix.lower() in _SUFFIXES and not file.is_symlink() and file.is_file()
    ]
    for name, file in sorted((relative.as_posix(), file) for relative, file in found):
        if not any(part.startswith(".") for part in PurePosixPath(name).parts):
            yield name, file


def file_documents(name: str, content: bytes) -> Iterator[Document]:
    """The sections of one file; bytes that are not UTF-8 become replacement characters."""
    text = content.decode("utf-8", errors="replace").replace("\r\n", "\n")
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _HTML:
        sections = _html_sections(text)
    elif suffix in _MARKDOWN:
        sections = _markdown_sections(text)
    else:
        sections = [(_first_line(text), text)]
    about = next((heading for heading, _ in sections if heading), "")
    for heading, body in sections:
        if body.strip():
            title = f"{name}: {heading}" if heading else name
            yield Document(title=title, source=name, about=about, text=body.strip("\n"))


def _markdown_sections(text: str) -> list[_Section]:
    sections: list[_Section] = []
    heading, lines, fenced = "", list[str](), False
    for line in text.split("\n"):
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        match = None if fenced else _HEADING.match(line)
        if match:
            sections.append((heading, "\n".join(lines)))
            heading, lines = match.group(2), []
        else:
            lines.append(line)
    sections.append((heading, "\n".join(lines)))
    return sections


def _html_sections(text: str) -> list[_Section]:
    reader = _HtmlReader()
    reader.feed(text)
    reader.close()
    return reader.sections()


class _HtmlReader(HTMLParser):
    """Collects the visible text, a section for each heading; markup that is never closed costs nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._sections: list[tuple[list[str], list[str]]] = [([], [])]
        self._skipped: str | None = None
        self._in_heading = False
        self._in_title = False
        self._title: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where text begins that is not shown, is a heading, or stands on a line of its own."""
        if tag == "title":
            self._in_title = True
        elif self._skipped is None and tag in _SKIPPED:
            self._skipped = tag
        elif _is_heading(tag):
            self._sections.append(([], []))
            self._in_heading = True
        elif tag in _BLOCKS:
            self._in_heading = False
            self._sections[-1][1].append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Note where it ends."""
        if tag == "title":
            self._in_title = False
        elif tag == self._skipped:
            self._skipped = None
        elif _is_heading(tag):
            self._in_heading = False
        elif tag in _BLOCKS:
            self._sections[-1][1].append("\n")

    def handle_data(self, data: str) -> None:
        """Keep a piece of text where it belongs."""
        if self._skipped is not None:
            return
        if self._in_title:
            self._title.append(data)
        else:
            heading, body = self._sections[-1]
            (heading if self._in_heading else body).append(data)

    def sections(self) -> list[_Section]:
        """Headings and texts in order; the page's title heads what stands before the first heading."""
        joined = [(" ".join("".join(heading).split()), _tidy("".join(body))) for heading, body in self._sections]
        joined[0] = (" ".join("".join(self._title).split()), joined[0][1])
        return joined


def _is_heading(tag: str) -> bool:
    return len(tag) == 2 and tag[0] == "h" and tag[1] in "123456"


def _tidy(text: str) -> str:
    lines = [line.rstrip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:120]
