"""The text: how it is drafted from points, revised by a person's remarks, and published once."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from pydantic import BaseModel, Field

_EDIT = re.compile(r"^(?P<what>title|add|drop|\d+)\s*:\s*(?P<text>.+)$", re.IGNORECASE)


class Piece(BaseModel):
    """What is written about.

    Attributes:
        points: a paragraph each.
        remarks: what the last reviewer wrote that is no edit; it is shown to the next one and never published.
    """

    title: str = Field(min_length=1)
    points: list[str]
    remarks: list[str] = Field(default_factory=list[str])


def text_of(piece: Piece) -> str:
    """The piece as it is shown and published."""
    return "\n\n".join([f"# {piece.title}", *piece.points]) + "\n"


def revised(piece: Piece, comment: str) -> Piece:
    """The piece after a person's edits, a line each, in order.

    ``title: …`` another title; ``add: …`` one more point; ``2: …`` the second point anew; ``drop: 2`` without it. The
    numbers are those of the piece as it was reviewed. What is no edit, or names no point, becomes a remark.
    """
    title, added, remarks = piece.title, list[str](), list[str]()
    points: list[str | None] = list(piece.points)
    for line in filter(None, (line.strip() for line in comment.splitlines())):
        match = _EDIT.match(line)
        what, text = (match["what"].lower(), match["text"].strip()) if match else ("", line)
        number = int(text if what == "drop" and text.isdigit() else what if what.isdigit() else 0)
        if what == "title":
            title = text
        elif what == "add":
            added.append(text)
        elif 1 <= number <= len(points):
            points[number - 1] = None if what == "drop" else text
        else:
            remarks.append(line)
    return Piece(title=title, points=[*filter(None, points), *added], remarks=remarks)


def publish(piece: Piece, folder: Path, key: str) -> tuple[Path, bool]:
    """Write the piece into a file that belongs to one approval, whole or not at all.

    Args:
        key: of the approval; the same key gives the same file, which is never written twice.

    Returns:
        The file, and whether this call wrote it: False if an earlier one did.

    Raises:
        OSError: the folder cannot be written to; nothing was published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_slug(piece.title)}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.md"
    handle, name = tempfile.mkstemp(dir=folder, prefix=".draft-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text_of(piece))
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        os.link(name, target)  # fails if it is there: two writers cannot both publish
    except FileExistsError:
        return target, False
    finally:
        Path(name).unlink()
    return target, True


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "untitled"
