from __future__ import annotations

from broker_wf.core.delivery import short_id
from broker_wf.core.ids import DeliveryId
from tests.unit.core.deliveries import delivery


def test_an_id_of_64_characters_stands_for_itself() -> None:
    assert short_id("x" * 64) == "x" * 64


def test_a_longer_id_is_hashed_the_same_way_each_time() -> None:
    assert short_id("x" * 65) == short_id("x" * 65)
    assert len(short_id("x" * 65)) == 24


def test_long_ids_that_differ_at_the_end_stay_apart() -> None:
    assert short_id("x" * 99 + "a") != short_id("x" * 99 + "b")


def test_children_are_named_after_their_delivery() -> None:
    assert delivery(id=DeliveryId("0@begin")).child_base == "0@begin"


def test_names_do_not_grow_with_each_generation() -> None:
    name = "0@begin"
    for _ in range(100):
        name = f"{short_id(name)}.0@a_step_with_a_rather_long_name"
    assert len(name) < 64 + 40
