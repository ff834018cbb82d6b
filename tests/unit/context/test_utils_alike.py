"""`context.utils`, as the original's: the same answers and the same refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from workflows.context import utils as theirs

from broker_wf.context import utils as ours

NAMES = ["json.JSONDecoder", "", "json", ".x", "no_such_module.x", "json.NoSuchName"]


def told(function: Callable[[Any], Any], value: object) -> object:
    """The answer, or the refusal with its text."""
    try:
        return function(value)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_leads_to_the_same_object_or_the_same_refusal(name: str) -> None:
    answers = [told(one.import_module_from_qualified_name, name) for one in (theirs, ours)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("value", [told, ours, 3, Callable, ValueError("x")])
def test_a_value_has_the_same_name(value: object) -> None:
    answers = [told(one.get_qualified_name, value) for one in (theirs, ours)]
    assert answers[0] == answers[1]
