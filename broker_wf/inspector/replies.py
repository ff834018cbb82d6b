"""Replies of the server in one shape, whether the client library has parsed them or not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast


def texts(raw: object) -> list[str]:
    """A list or set of strings."""
    return [text(item) for item in cast("Iterable[object]", raw or ())]


def text(raw: object) -> str:
    """A string."""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def mapping(raw: object) -> dict[str, bytes]:
    """A map whose keys are strings: a dict, or names and values in turn."""
    return {text(key): value for key, value in byte_mapping(raw).items()}


def byte_mapping(raw: object) -> dict[bytes, bytes]:
    """A map: a dict, or names and values in turn."""
    if isinstance(raw, dict):
        return cast("dict[bytes, bytes]", raw)
    flat = cast("list[bytes]", raw or [])
    return dict(zip(flat[::2], flat[1::2], strict=True))


def scored(raw: object) -> list[tuple[str, int]]:
    """Members of a sorted set with their scores, which are whole numbers."""
    items = cast("list[object]", raw or [])
    if items and isinstance(items[0], tuple | list):
        pairs = cast("list[tuple[object, object]]", items)
    else:
        pairs = list(zip(items[::2], items[1::2], strict=True))
    return [(text(member), int(float(text(score)))) for member, score in pairs]


def scores(raw: object) -> list[int | None]:
    """Scores of members asked for; None where there is no such member, or its score is infinite: nothing is due."""
    return [None if one is None else _moment_ms(text(one)) for one in cast("list[object]", raw)]


def _moment_ms(score: str) -> int | None:
    at_ms = float(score)
    return None if math.isinf(at_ms) else int(at_ms)


def entries(raw: object) -> list[tuple[str, dict[bytes, bytes]]]:
    """Entries of a stream: id and fields."""
    return [
        (text(entry_id), byte_mapping(fields)) for entry_id, fields in cast("list[tuple[object, object]]", raw or [])
    ]


def server_facts(raw: object) -> dict[str, str]:
    """The reply to INFO."""
    if isinstance(raw, dict):
        return {text(key): text(value) for key, value in cast("dict[object, object]", raw).items()}
    return {key: value for key, _, value in (line.partition(":") for line in text(raw).splitlines())}


def server_ms(raw: object) -> int:
    """The reply to TIME in milliseconds."""
    seconds, micros = cast("tuple[object, object]", raw)
    return int(text(seconds)) * 1000 + int(text(micros)) // 1000
