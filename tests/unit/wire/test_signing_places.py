"""What a signature is for: one run of one namespace, and in it one kind of value."""

from __future__ import annotations

import pytest

from broker_wf.broker.waits import name_of_once
from broker_wf.errors import DecodeError
from broker_wf.wire.blobs import BlobCache
from broker_wf.wire.codec import EVENT, Codec
from broker_wf.wire.envelope import is_signed, unsigned
from broker_wf.wire.limits import Limits
from broker_wf.wire.registry import EventRegistry
from broker_wf.wire.signing import SAVED, codec_for, signer_for
from broker_wf.wire.state import CHANGE_RESULT, CLASS_KEY, name_of_key
from tests.unit.wire.samples import NAMES, Simple

OLD, NEW = "the-key-of-long-ago", "the-key-of-today"
SMALL = Simple(text="hello", numbers=[1, 2])
ELSEWHERE = [(("r", "0@s"), "n"), (("s",), "n"), (("r",), "m"), ((SAVED,), "n")]
"""Places other than the run ``r`` of the namespace ``n``."""


def made(key: str, namespace: str = "n") -> Codec:
    return codec_for(EventRegistry(NAMES), Limits(), key, namespace, BlobCache(0))


@pytest.mark.parametrize(("place", "namespace"), ELSEWHERE)
def test_what_is_brought_from_elsewhere_is_refused(place: tuple[str, ...], namespace: str) -> None:
    there, here = made(NEW, namespace).at(*place), made(NEW).at("r")
    with pytest.raises(
        DecodeError, match=r"an event cannot be decoded: it is not what a key in BROKER.* for r: changed, or"
    ):
        here.decode_event(there.encode_event(SMALL).payload)
    with pytest.raises(DecodeError, match="for r: changed, or brought from elsewhere"):
        here.decode_event(there.encode_whole(SMALL))
    with pytest.raises(DecodeError, match=r"x cannot be decoded: .* for r: changed"):
        here.decode_value(there.encode_value(1, what="x"), what="x")


def test_what_is_a_delivery_s_own_names_it() -> None:
    raw = made(NEW).at("r", "0@s").encode_value(1, what="x")
    assert made(NEW).at("r", "0@s").decode_value(raw, what="x") == 1
    with pytest.raises(DecodeError, match="signed for r 1@s: changed"):
        made(NEW).at("r", "1@s").decode_value(raw, what="x")


def test_one_kind_of_value_is_not_taken_for_another() -> None:
    here = made(NEW).at("r")
    kinds = [EVENT, CHANGE_RESULT, name_of_once("k"), name_of_key("k"), name_of_key("l"), name_of_key(CLASS_KEY)]
    for kind in kinds:
        raw = here.encode_value(SMALL, what=kind)
        assert here.decode_value(raw, what=kind) == SMALL
        for other in kinds:
            if other != kind:
                with pytest.raises(DecodeError, match="brought from elsewhere"):
                    here.decode_value(raw, what=other)
    assert here.decode_event(here.encode_whole(SMALL)) == here.decode_event(here.encode_event(SMALL).payload) == SMALL


def test_names_that_are_signed_stay_what_they_are() -> None:
    """What was signed under one of them before an update is read under it after that."""
    assert EVENT == "an event"
    assert CHANGE_RESULT == "the result of a change of the state"
    assert name_of_once("k") == "the result of once('k')"
    assert (name_of_key("k"), name_of_key(CLASS_KEY)) == ("state key 'k'", "the class of the state")
    payload = made(NEW).at("r").encode_value(7, what=name_of_key("k"))
    assert payload.hex() == "18072eff5a85f32a29d3e4dc83e64138e38400ee76d9"


def test_a_signature_without_a_place_is_not_made() -> None:
    codec, payload = made(NEW), made(NEW).at("r").encode_event(SMALL).payload
    for use in (lambda: codec.encode_event(SMALL), lambda: codec.decode_event(payload)):
        with pytest.raises(RuntimeError, match=r"ask it for one with at\(\)"):
            use()
    assert made("").at("r").encode_event(SMALL) == made("").encode_event(SMALL)
    plain = made("")
    assert plain.at("r") is plain
    assert plain.move("r", "s") is None
    assert signer_for("", "n") is None


def test_whoever_has_the_key_moves_what_was_signed_for_a_run() -> None:
    move, payload = made(NEW).move("r", "s"), made(NEW).at("r").encode_event(SMALL).payload
    assert move is not None
    assert made(NEW).at("s").decode_event(move(payload)) == SMALL
    own = made(NEW).at("r", "0@s").encode_value(1, what="x")
    assert made(NEW).at("s", "0@s").decode_value(move(own, "x", "0@s"), what="x") == 1
    third = made(NEW).at("t").encode_event(SMALL).payload
    for stays in (third, own, payload[:-1] + bytes([payload[-1] ^ 1]), unsigned(payload), b"", b"\x93\x01\x02\x03"):
        assert move(stays) == stays


def test_keys_are_replaced_on_the_way() -> None:
    payload = made(OLD).at("r").encode_event(SMALL).payload
    move, back = made(f"{NEW},{OLD}").move("r", "s"), made(f"unsigned,{OLD}").move("r", "s")
    assert move is not None
    assert back is not None
    assert made(NEW).at("s").decode_event(move(payload)) == SMALL
    assert not is_signed(back(payload))
