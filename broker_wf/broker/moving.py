"""What goes from run to run, signed anew: a signature is for one run alone, see ``wire.signing``.

Scripts have no key, so all copies between runs are made by Python. It need not know which of the bytes are payloads:
what is not signed for the old run stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import msgpack

from broker_wf.broker.packing import pack, unpack
from broker_wf.broker.snapshots import Part
from broker_wf.broker.waits import name_of_once
from broker_wf.wire.codec import Move
from broker_wf.wire.envelope import is_signed
from broker_wf.wire.state import CHANGE_RESULT, name_of_key

_FIRST_OF_MAP = 0x80
"""What packs a map or a list begins with a byte from here on; payloads begin with a lower one."""


def moved_parts(parts: Iterable[Part], move: Move) -> tuple[Part, ...]:
    """What a run is made of, for another run."""
    return tuple((family, rest, kind, _content(family, rest, content, move)) for family, rest, kind, content in parts)


def moved_state(state: Mapping[str, bytes], move: Move) -> dict[str, bytes]:
    """Values of the state, for another run."""
    return {key: move(value, name_of_key(key)) for key, value in state.items()}


def moved_start(start: Mapping[str, bytes], move: Move) -> dict[str, bytes]:
    """What a run's record keeps of its beginning, for another run."""
    made = {"start": move(start["start"])}
    if "first_state" in start:
        made["first_state"] = pack(moved_state(state_of(start), move))
    return made


def state_of(start: Mapping[str, bytes]) -> dict[str, bytes]:
    """The first state of a run, by what its record keeps of its beginning."""
    found = cast("dict[bytes, bytes]", unpack(start["first_state"])) if "first_state" in start else {}
    return {key.decode(): value for key, value in found.items()}


def moved(value: object, move: Move) -> object:
    """Whatever holds events, in maps and lists that may be packed; the same object if there is nothing to do."""
    if isinstance(value, bytes):
        return move(value) if is_signed(value) else _unpacked(value, move)
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value)
        made = {key: moved(one, move) for key, one in pairs.items()}
        return made if made != pairs else pairs
    if isinstance(value, list):
        items = cast("list[object]", value)
        made = [moved(one, move) for one in items]
        return made if made != items else items
    return value


def _content(family: str, rest: str, content: list[bytes], move: Move) -> list[bytes]:
    pairs = zip(content[::2], content[1::2], strict=True) if family in ("once", "changed") else ()
    if family == "once":
        return [one for key, raw in pairs for one in (key, move(raw, name_of_once(key.decode()), rest[1:]))]
    if family == "changed":
        return [one for name, raw in pairs for one in (name, move(raw, CHANGE_RESULT))]
    return content if family == "blob" else cast("list[bytes]", [moved(one, move) for one in content])


def _unpacked(raw: bytes, move: Move) -> object:
    if raw[:1] < bytes([_FIRST_OF_MAP]):
        return raw
    try:
        found = unpack(raw)
    except (ValueError, TypeError, msgpack.UnpackException):
        return raw
    made = moved(found, move)
    return raw if made is found else pack(made)
