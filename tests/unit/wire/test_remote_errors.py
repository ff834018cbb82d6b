"""Exceptions as another process sees them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import traceback
from types import ModuleType
from typing import Any

import pytest

from broker_wf.errors import BrokerError, EncodeError, LimitExceededError, RemoteError, WorkflowRuntimeError
from broker_wf.events import UnreconstructedException
from broker_wf.wire.remote_errors import (
    MAX_TEXT_BYTES,
    RemoteTracebackError,
    decode_error,
    encode_error,
    known_errors,
)
from tests.unit.wire.samples import NoCodecError


class CodedError(Exception):
    """Words its message from a number."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")


class TwoArgumentError(Exception):
    def __init__(self, a: str, b: str) -> None:
        super().__init__(a, b)


class StubbornError(Exception):
    """Always says the same, whatever it was made with."""

    texts = ("first",)

    def __str__(self) -> str:
        return f"{type(self).texts[0]} at {id(self)}"


class SealedError(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class SwappedError(Exception):
    def __new__(cls, *args: Any) -> Any:
        return ValueError(*args)


class BesidesError(ValueError):
    pass


KNOWN = known_errors([__name__])


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def again(error: BaseException) -> Exception:
    return decode_error(encode_error(error), KNOWN)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        ValueError(),
        KeyError("k"),
        OSError(2, "gone"),
        WorkflowRuntimeError("wrong"),
        NoCodecError("known by import"),
        asyncio.TimeoutError("late"),
        ZeroDivisionError(1),
        ValueError("\ud800"),
    ],
    ids=repr,
)
def test_a_known_exception_is_rebuilt_with_class_and_text(error: Exception) -> None:
    rebuilt = again(error)
    assert type(rebuilt) is type(error)
    assert str(rebuilt) == str(error)


def test_a_class_that_is_loaded_here_is_known_though_nobody_registered_it() -> None:
    record = encode_error(BesidesError("from elsewhere"))
    assert type(decode_error(record, {})) is BesidesError


def test_a_module_is_not_asked_for_what_it_would_load_lazily() -> None:
    module = ModuleType("lazy_module_of_a_test")
    vars(module)["__getattr__"] = lambda name: pytest.fail(f"{name} was loaded")
    sys.modules[module.__name__] = module
    try:
        rebuilt = decode_error({"type": f"{module.__name__}.LateError", "message": "m"}, {})
    finally:
        del sys.modules[module.__name__]
    assert isinstance(rebuilt, UnreconstructedException)


def test_a_single_text_argument_arrives_as_it_was() -> None:
    assert again(KeyError("k")).args == ("k",)


def test_a_constructor_that_words_its_message_does_not_word_it_twice() -> None:
    rebuilt = again(CodedError(404))
    assert type(rebuilt) is CodedError
    assert str(rebuilt) == "code 404"


@pytest.mark.parametrize(
    "error",
    [
        TwoArgumentError("a", "b"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "why"),
        StubbornError(),
        KeyboardInterrupt("stop"),
        type("NobodyError", (Exception,), {})("unknown"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_that_cannot_be_rebuilt_says_what_it_was(error: BaseException) -> None:
    rebuilt = again(error)
    assert isinstance(rebuilt, UnreconstructedException)
    assert rebuilt.original_type == f"{type(error).__module__}.{type(error).__qualname__}"


@pytest.mark.parametrize("error", [LimitExceededError("size", 2, 1), EncodeError("E", "a", "T", "r"), BrokerError("b")])
def test_an_error_of_ours_is_rebuilt_with_its_fields(error: BrokerError) -> None:
    rebuilt = again(again(raised(error)))
    assert type(rebuilt) is type(error)
    assert str(rebuilt) == str(error)
    assert {k: v for k, v in vars(rebuilt).items() if k != "remote_traceback"} == vars(error)


def test_an_error_of_ours_without_its_fields_still_has_its_text() -> None:
    record = {"type": "broker_wf.errors.LimitExceededError", "message": "m"}
    assert str(decode_error(record, {})) == "m"


def test_a_class_that_makes_something_else_is_not_trusted() -> None:
    record = {"type": f"{__name__}.SwappedError", "message": "m"}
    assert isinstance(decode_error(record, KNOWN), UnreconstructedException)


def test_an_exception_that_takes_no_attributes_is_not_rebuilt() -> None:
    rebuilt = again(raised(SealedError("m")))
    assert isinstance(rebuilt, UnreconstructedException)
    assert "SealedError: m" in rebuilt.remote_traceback  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["builtins.eval", "os.system", "builtins.KeyboardInterrupt", "builtins.SystemExit"])
def test_only_subclasses_of_exception_are_made(name: str) -> None:
    rebuilt = decode_error({"type": name, "message": "print(1)"}, KNOWN)
    assert isinstance(rebuilt, UnreconstructedException)
    assert str(rebuilt) == "print(1)"


def test_what_could_not_be_rebuilt_keeps_its_first_name_over_further_hops() -> None:
    once = again(TwoArgumentError("a", "b"))
    twice = again(once)
    assert isinstance(twice, UnreconstructedException)
    assert twice.original_type == f"{__name__}.TwoArgumentError"
    assert str(twice) == str(once)


def test_the_remote_traceback_is_an_attribute_and_shown_above_the_local_one() -> None:
    try:
        raise ValueError("low") from KeyError("lower")
    except ValueError as error:
        rebuilt: Any = again(error)
    assert "test_remote_errors.py" in rebuilt.remote_traceback
    assert "KeyError: 'lower'" in rebuilt.remote_traceback
    assert isinstance(rebuilt.__cause__, RemoteTracebackError)
    assert isinstance(rebuilt.__cause__, RemoteError)
    shown = "".join(traceback.format_exception(type(rebuilt), rebuilt, None))
    assert shown.index("KeyError: 'lower'") < shown.rindex("ValueError: low")


def test_a_record_without_traceback_has_no_cause() -> None:
    assert decode_error({"type": "builtins.ValueError", "message": "m"}, {}).__cause__ is None
    assert decode_error({"type": "builtins.ValueError", "message": "m", "traceback": 1}, {}).__cause__ is None


def test_the_traceback_of_an_exception_without_text_is_still_there() -> None:
    record: dict[str, Any] = encode_error(raised(UnprintableError()))
    assert "UnprintableError" in record["message"]
    assert "test_remote_errors.py" in record["traceback"]


def test_an_exception_that_cannot_be_printed_at_all_still_says_where_it_was_raised() -> None:
    class Spiteful(Exception):
        @property
        def __notes__(self) -> list[str]:
            raise ValueError("no notes")

    record: dict[str, Any] = encode_error(raised(Spiteful("m")))
    assert "test_remote_errors.py" in record["traceback"]


@pytest.mark.parametrize("letter", ["x", "ä", "€", "\ud800", "😀"])
def test_texts_are_cut_at_16_kib_message_at_its_end_and_traceback_at_its_beginning(letter: str) -> None:
    record: dict[str, Any] = encode_error(raised(ValueError("a" + letter * 20_000 + "z")))
    message = record["message"].encode("utf-8", "surrogatepass")
    remote = record["traceback"].encode("utf-8", "surrogatepass")
    assert MAX_TEXT_BYTES - 4 < len(message) <= MAX_TEXT_BYTES
    assert MAX_TEXT_BYTES - 4 < len(remote) <= MAX_TEXT_BYTES
    assert record["message"][0] == "a"
    assert record["traceback"].endswith("z\n")


def test_exceptions_that_a_module_imported_are_known_and_modules_not_loaded_are_not_loaded() -> None:
    assert KNOWN["tests.unit.wire.samples.NoCodecError"] is NoCodecError
    assert known_errors(["antigravity"]) == {}
    assert "antigravity" not in sys.modules


def test_timeouts_of_older_pythons_are_timeouts() -> None:
    timeouts = (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError)
    for name in ("asyncio.exceptions.TimeoutError", "concurrent.futures._base.TimeoutError"):
        assert isinstance(decode_error({"type": name, "message": "m"}, {}), timeouts)


def test_a_record_without_type_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a type and a message"):
        decode_error({"message": "m"}, {})
