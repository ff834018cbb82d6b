from __future__ import annotations

import pytest

from broker_wf.broker.keys import FAMILIES, Keys
from broker_wf.core.ids import Partition


def test_a_key_is_the_hash_tag_the_family_and_its_parts() -> None:
    assert Keys("shop").of("batch", "r1", "c1", "join") == "{shop/0}:batch:r1:c1:join"


def test_a_key_without_parts_is_its_family() -> None:
    assert Keys("shop").of("watch") == "{shop/0}:watch"


def test_partitions_differ_in_the_hash_tag_alone() -> None:
    assert Keys("shop", Partition(3)).of("run", "r1") == "{shop/3}:run:r1"


def test_every_key_begins_with_the_tag_the_scripts_are_given() -> None:
    keys = Keys("shop")
    for family in FAMILIES.values():
        assert keys.of(family.name, *family.parts).startswith(keys.tag)


@pytest.mark.parametrize("parts", [(), ("r1", "more")])
def test_another_number_of_parts_is_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="'run'"):
        Keys("shop").of("run", *parts)


def test_a_family_that_is_not_in_the_table_has_no_key() -> None:
    with pytest.raises(KeyError):
        Keys("shop").of("secrets")


def test_every_family_is_of_a_type_that_redis_has() -> None:
    assert {family.kind for family in FAMILIES.values()} <= {"HASH", "LIST", "SET", "ZSET", "STREAM", "STRING"}
