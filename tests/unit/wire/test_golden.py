"""Bytes written by an earlier version are read, and this version writes the same."""

from __future__ import annotations

import pytest

from broker_wf.wire.blobs import Fetched
from broker_wf.wire.envelope import references
from tests.unit.wire import golden_files
from tests.unit.wire.samples import CODEC, Dog, Everything, Simple

ALL = {**golden_files.EVENTS, **golden_files.VALUES}


@pytest.mark.parametrize("name", ALL)
def test_a_value_of_each_kind_is_read_from_the_bytes_of_old(name: str) -> None:
    value = CODEC.decode_value(golden_files.read(name))
    assert value == ALL[name]
    assert type(value) is type(ALL[name])
    assert repr(value) == repr(ALL[name])


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"long"}))
def test_a_value_of_each_kind_is_written_as_it_was(name: str) -> None:
    assert CODEC.encode_value(ALL[name], what=name).hex() == golden_files.read(name).hex()


def test_a_long_value_is_written_compressed() -> None:
    """Which bytes zlib makes is its own affair."""
    assert CODEC.encode_value(ALL["long"], what="long")[0] == golden_files.read("long")[0] == 0x11


@pytest.mark.parametrize("name", golden_files.EVENTS)
def test_an_event_of_each_kind_is_read_as_an_event(name: str) -> None:
    assert CODEC.decode_event(golden_files.read(name)) == golden_files.EVENTS[name]


def test_no_golden_file_is_left_over_or_missing() -> None:
    found = {file.stem.partition("_blob")[0] for file in golden_files.FOLDER.glob("*.hex")}
    assert found == {*ALL, *golden_files.SPLIT}


@pytest.mark.parametrize("name", golden_files.SPLIT)
def test_an_event_whose_parts_travel_apart_is_read_from_the_bytes_of_old(name: str) -> None:
    payload, blobs = golden_files.read(name), golden_files.blob_files(name)
    hashes = [row.hash for row in references(payload)]
    fetched = Fetched(dict(zip(hashes, blobs, strict=True)))
    assert golden_files.SPLITTING.decode_event(payload, fetched) == golden_files.SPLIT[name]


@pytest.mark.parametrize("name", golden_files.SPLIT)
def test_an_event_whose_parts_travel_apart_is_written_as_it_was(name: str) -> None:
    encoded = golden_files.SPLITTING.encode_event(golden_files.SPLIT[name])
    assert encoded.payload.hex() == golden_files.read(name).hex()
    assert [blob.sealed for blob in encoded.blobs] == golden_files.blob_files(name)


def test_a_subclass_in_a_list_of_its_base_keeps_its_class_and_fields() -> None:
    event = CODEC.decode_event(golden_files.read("event_everything"))
    assert isinstance(event, Everything)
    assert type(event.animals[0]) is Dog
    assert event.animals[0].tricks == ["sit"]


def test_a_class_is_read_as_the_class_itself() -> None:
    assert CODEC.decode_value(golden_files.read("class")) is Simple
