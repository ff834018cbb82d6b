"""What may travel though no annotation names it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from broker_wf import register
from broker_wf.wire import known


class Model(BaseModel):
    a: int = 1


@dataclasses.dataclass
class Record:
    a: int = 1


class Color(enum.Enum):
    RED = 1


class Plain:
    pass


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    before = dict(known._registered)
    known._registered.clear()
    yield
    known._registered.clear()
    known._registered.update(before)


def test_the_values_a_module_defines_are_found_and_nothing_that_it_imports() -> None:
    assert set(known.values_defined_in([__name__])) == {Model, Record, Color}


def test_a_module_that_is_not_loaded_defines_nothing() -> None:
    assert known.values_defined_in(["there.is.none"]) == []


def test_what_is_registered_is_given_back_and_remembered_once() -> None:
    assert register(register(Model)) is Model
    assert register(LookupError) is LookupError
    assert known.registered() == (Model, LookupError)


def test_what_has_no_encoding_is_not_registered() -> None:
    with pytest.raises(ValueError, match="Plain has no encoding; make it a dataclass"):
        register(Plain)
    assert known.registered() == ()
