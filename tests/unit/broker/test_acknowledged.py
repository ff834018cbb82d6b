"""What an execution was told is done, and which of it a server has to know of at the end."""

from __future__ import annotations

from types import SimpleNamespace

from broker_wf.broker.leased import Acknowledged


def test_nobody_is_asked_for_nothing() -> None:
    assert Acknowledged().as_plan() == {}


def test_over_one_connection_the_last_stands_for_all() -> None:
    acked = Acknowledged()
    for name in "ab":
        acked.effect(name, acked.asking())
    acked.change("c", acked.asking())
    assert acked.as_plan() == {"knows": {"effects": ["b"], "changes": ["c"]}}


def test_what_was_told_over_one_connection_says_nothing_of_the_one_before() -> None:
    acked = Acknowledged(link := SimpleNamespace(connections=1))
    acked.change("a", acked.asking())
    link.connections += 1
    acked.change("b", acked.asking())
    acked.change("c", acked.asking())
    assert acked.as_plan() == {"knows": {"effects": [], "changes": ["a", "c"]}}


def test_what_may_have_been_told_over_either_stands_for_itself_alone() -> None:
    acked = Acknowledged(link := SimpleNamespace(connections=1))
    asked_at = acked.asking()
    acked.effect("a", acked.asking())
    link.connections += 1
    acked.effect("b", asked_at)
    acked.effect("c", asked_at)
    acked.effect("d", acked.asking())
    assert acked.as_plan() == {"knows": {"effects": ["a", "b", "c", "d"], "changes": []}}
