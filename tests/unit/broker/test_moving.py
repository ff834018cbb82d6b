"""Parts of a run for another run: what is signed in them is signed for that one, whatever it is packed into."""

from __future__ import annotations

from broker_wf.broker.moving import moved, moved_parts, moved_start, moved_state, state_of
from broker_wf.broker.packing import pack, unpack
from broker_wf.wire.codec import EVENT
from broker_wf.wire.signing import Signer
from broker_wf.wire.state import CHANGE_RESULT, name_of_key

SIGNER = Signer("the-key-of-today", "n")
MOVE = SIGNER.move("old", "new")
BYTES = b"\x10\x07"


def signed(run: str, what: str = EVENT, *inside: str) -> bytes:
    return SIGNER.signed(BYTES, SIGNER.place(run, *inside) + what)


def test_events_are_found_in_whatever_they_are_packed_into() -> None:
    before = {
        b"p": signed("old"),
        b"n": 1,
        b"slots": pack([signed("old"), signed("other")]),
        b"plan": pack({"emits": [["id", "name", signed("old")]], 1: None, 2: 1.5}),
    }
    (part,) = moved_parts([("live", "", "hash", [b"0@s", pack(before)])], MOVE)
    assert part[:3] == ("live", "", "hash")
    assert part[3][0] == b"0@s"
    after = unpack(part[3][1])
    assert after == {
        b"p": signed("new"),
        b"n": 1,
        b"slots": pack([signed("new"), signed("other")]),
        b"plan": pack({"emits": [["id", "name", signed("new")]], 1: None, 2: 1.5}),
    }


def test_what_has_nothing_to_do_with_it_stays_the_same_object() -> None:
    for one in (
        b"",
        b"text",
        b"\xc1",
        b"\x81",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\x90\x01",
        pack([1, {"a": b"b"}]),
        [1],
        {1: 2},
        3,
    ):
        assert moved(one, MOVE) is one


def test_what_a_delivery_keeps_is_signed_under_its_own_name() -> None:
    once, changed, blob = moved_parts(
        [
            ("once", ":0@s", "hash", [b"k", signed("old", "the result of once('k')", "0@s")]),
            ("changed", ":0@s", "hash", [b"id", signed("old", CHANGE_RESULT), b"other", b"\x07"]),
            ("blob", "", "hash", [b"h", signed("old")]),
        ],
        MOVE,
    )
    assert once[3] == [b"k", signed("new", "the result of once('k')", "0@s")]
    assert changed[3] == [b"id", signed("new", CHANGE_RESULT), b"other", b"\x07"]
    assert blob[3] == [b"h", signed("old")]


def test_the_state_and_the_beginning_of_a_run() -> None:
    assert moved_state({"k": signed("old", name_of_key("k"))}, MOVE) == {"k": signed("new", name_of_key("k"))}
    assert moved_state({"k": signed("old", name_of_key("l"))}, MOVE) == {"k": signed("old", name_of_key("l"))}
    before = {"start": signed("old"), "first_state": pack({"k": signed("old", name_of_key("k"))})}
    after = moved_start(before, MOVE)
    assert after["start"] == signed("new")
    assert state_of(after) == {"k": signed("new", name_of_key("k"))}
    assert moved_start({"start": signed("old")}, MOVE) == {"start": signed("new")}
