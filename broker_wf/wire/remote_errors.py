"""Exceptions of another process: class, text and traceback as text; never the object."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import sys
import traceback
from collections.abc import Iterable, Mapping
from typing import cast

from broker_wf import errors
from broker_wf.core.class_names import qualified_name
from broker_wf.errors import BrokerError, RemoteError
from broker_wf.events import UnreconstructedException, loaded_object
from broker_wf.retry_policy import RetryIn
from broker_wf.wire.classes import is_class
from broker_wf.wire.foreign import ForeignError, called, text_of

MAX_TEXT_BYTES = 16 * 1024
"""Of the message, and of the traceback, in UTF-8."""

_TYPE = "type"
_MESSAGE = "message"
_TRACEBACK = "traceback"
_ARGUMENT = "argument"
_FIELDS = "fields"
_ATTRIBUTE = "remote_traceback"
_WITH_FIELDS = (BrokerError, RetryIn)
"""Exceptions of ours whose constructors word their messages."""
_FIELD_TYPES = frozenset({str, int, float, bool, type(None)})


class RemoteTracebackError(RemoteError):
    """Cause of a rebuilt exception: shows where it was raised, in the process it was raised in."""

    def __str__(self) -> str:
        """Show the remote traceback, so that a printed local one has it above itself."""
        return f"\n{self.traceback_text}"


def encode_error(error: BaseException) -> dict[str, object]:
    """Give what travels of an exception: class, text, traceback with causes, its argument if there is one.

    Texts over 16 KiB are cut: messages at the end, tracebacks at the beginning.
    """
    raised = type(error)
    name = qualified_name(raised)
    if isinstance(error, UnreconstructedException) and error.original_type:
        name = error.original_type
    message = text_of(error)
    record: dict[str, object] = {
        _TYPE: name,
        _MESSAGE: _head(message),
        _TRACEBACK: _tail(_traceback_of(error)),
    }
    if len(error.args) == 1 and type(error.args[0]) is str and error.args[0] != message:
        record[_ARGUMENT] = _head(error.args[0])
    if isinstance(error, _WITH_FIELDS):
        record[_FIELDS] = {k: v for k, v in vars(error).items() if type(v) in _FIELD_TYPES and k != _ATTRIBUTE}
    return record


def decode_error(data: Mapping[str, object], known: Mapping[str, type[Exception]]) -> Exception:
    """Rebuild an exception from what ``encode_error`` gave.

    Built with the text alone if its class is builtin, ours, known or loaded here, and takes that (an error of
    ours has its fields again); else an UnreconstructedException says what it was. The remote traceback is its
    ``__cause__``, and its attribute ``remote_traceback``. Nothing is imported, and only subclasses of
    Exception are made.

    Raises:
        ValueError: the data is no exception.
    """
    name, message = data.get(_TYPE), data.get(_MESSAGE)
    if not (isinstance(name, str) and isinstance(message, str)):
        raise ValueError("an exception needs a type and a message")  # noqa: TRY004 - the bytes are at fault
    argument = data.get(_ARGUMENT, message)
    text = data.get(_TRACEBACK, "")
    cls = _exception_class(name, known)
    if cls is not None and issubclass(cls, _WITH_FIELDS):
        rebuilt = _rebuilt_with_fields(cls, message, data.get(_FIELDS))
    else:
        rebuilt = _rebuilt(cls, argument, message)
    if rebuilt is None:
        rebuilt = UnreconstructedException(message, original_type=name)
    return _with_traceback(rebuilt, name, message, text if isinstance(text, str) else "")


def known_errors(modules: Iterable[str]) -> dict[str, type[Exception]]:
    """Give the exception classes that the modules define or have imported, by qualified name.

    Modules that are not loaded have none; nothing is imported.
    """
    found: dict[str, type[Exception]] = {}
    for module in modules:
        names: Mapping[str, object] = vars(sys.modules[module]) if module in sys.modules else {}
        for value in list(names.values()):
            if is_class(value) and issubclass(value, Exception):
                found[qualified_name(value)] = value
    return found


def _own_classes() -> dict[str, type[Exception]]:
    ours = known_errors([builtins.__name__, errors.__name__])
    others = (RetryIn, asyncio.TimeoutError, asyncio.QueueEmpty, asyncio.QueueFull, concurrent.futures.TimeoutError)
    for cls in (UnreconstructedException, *others):
        ours[qualified_name(cls)] = cls
    # Until 3.11 these were classes of their own, and a record may come from another version.
    for name in ("asyncio.exceptions.TimeoutError", "concurrent.futures._base.TimeoutError"):
        ours.setdefault(name, TimeoutError)
    return ours


_OURS = _own_classes()


def _exception_class(name: str, known: Mapping[str, type[Exception]]) -> type[Exception] | None:
    found = known.get(name) or _OURS.get(name)
    if found is not None:
        return found
    loaded = loaded_object(name)
    return loaded if is_class(loaded) and issubclass(loaded, Exception) else None


def _rebuilt(cls: type[Exception] | None, argument: object, message: str) -> Exception | None:
    """Make the exception; None if its class does not take one argument or tells another text afterwards."""
    if cls is None:
        return None
    try:
        made = called(cls, argument)
    except ForeignError:
        return None
    if not isinstance(made, cls):
        return None
    if text_of(made) != message:
        # A constructor that words its message from the argument would word it twice.
        made.args = (message,)
    return made if text_of(made) == message else None


def _rebuilt_with_fields(cls: type[Exception], message: str, fields: object) -> Exception:
    """Make an error of ours without its constructor, which would word the message anew."""
    made = cls.__new__(cls)
    made.args = (message,)
    if isinstance(fields, dict):
        vars(made).update(cast("dict[str, object]", fields))
    return made


def _with_traceback(error: Exception, name: str, message: str, text: str) -> Exception:
    try:
        called(setattr, error, _ATTRIBUTE, text)
    except ForeignError:
        error = UnreconstructedException(message, original_type=name)
        error.remote_traceback = text  # pyright: ignore[reportAttributeAccessIssue]
    if text:
        error.__cause__ = RemoteTracebackError(name, message, text)
    return error


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(called(traceback.format_exception, type(error), error, error.__traceback__))
    except ForeignError:
        return "".join(traceback.format_tb(error.__traceback__))


def _head(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= MAX_TEXT_BYTES:
        return text
    end = MAX_TEXT_BYTES
    while _continues(data[end]):
        end -= 1
    return data[:end].decode("utf-8", "surrogatepass")


def _tail(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= MAX_TEXT_BYTES:
        return text
    start = len(data) - MAX_TEXT_BYTES
    while _continues(data[start]):
        start += 1
    return data[start:].decode("utf-8", "surrogatepass")


def _continues(byte: int) -> bool:
    """Whether the byte stands inside a UTF-8 character."""
    return byte & 0xC0 == 0x80
