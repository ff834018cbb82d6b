"""Calls into classes of the user: they may raise anything, and the wire must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class ForeignError(ValueError):
    """Code of the user raised; the text says what, ``__cause__`` is the exception."""


def called(function: Callable[..., T], *args: object) -> T:
    """Call the function.

    Raises:
        ForeignError: it raised an Exception, of whatever class.
    """
    try:
        return function(*args)
    except Exception as error:
        raise ForeignError(f"{type(error).__name__}: {text_of(error)}") from error


def text_of(error: BaseException) -> str:
    """Give the text of an exception, or a stand-in where its ``__str__`` raises."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception of the user's may do anything when it is printed
        return f"<a {type(error).__name__} whose text cannot be made>"
