"""Errors of this library as the ones their code expects."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import cast

from workflows import errors as theirs

from broker_wf import errors as ours

_SAME: Mapping[type[Exception], type[Exception]] = {
    cls: cast("type[Exception]", getattr(theirs, name))
    for name, cls in cast("Mapping[str, type[Exception]]", vars(ours)).items()
    if isinstance(getattr(theirs, name, None), type) and cls.__module__.startswith(ours.__name__)
}


def their_error(error: Exception) -> Exception:
    """The error of theirs that has the same name, with the same text; any other as it is."""
    cls = _SAME.get(type(error))
    if cls is None:
        return error
    made = cls(str(error))
    made.__cause__ = error
    return made


@contextmanager
def their_errors() -> Generator[None]:
    """What the block raises of ours is raised as theirs.

    Raises:
        Exception: of whatever class.
    """
    try:
        yield
    except tuple(_SAME) as error:
        raise their_error(error) from error
