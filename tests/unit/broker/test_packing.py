from __future__ import annotations

import msgpack
import pytest

from broker_wf.broker.packing import message_of, pack


def test_a_message_is_names_and_bytes() -> None:
    assert message_of(pack({"kind": "stop", "run": "r"})) == {"kind": b"stop", "run": b"r"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x81\x90\x01",  # a map whose key is a list
        b"\x81\x80\x01",  # a map whose key is a map
        b"\x91" * 10_000 + b"\xc0",
        b"\xa5text",
        msgpack.packb(7),
        msgpack.packb([1, 2]),
        msgpack.packb({1: 2}),
        msgpack.packb({"kind": 5}),
    ],
)
def test_what_is_no_message_is_empty(raw: bytes) -> None:
    assert message_of(raw) == {}
