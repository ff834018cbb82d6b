"""A version of a key of the state is given once: who has read one never takes another value for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker_wf.broker.packing import pack
from broker_wf.core.ids import RunId
from broker_wf.core.outcome import StateSet
from tests.stateful.rig import Rig

RUN = RunId("r")


def put(rig: Rig, value: bytes | None, versions: dict[str, int]) -> bool:
    """Write the key from outside, or remove it."""
    sets = {} if value is None else {"k": value}
    return rig.run(rig.broker.state.put(RUN, sets, () if sets else ("k",), versions))


def read(rig: Rig) -> tuple[int, bytes | None]:
    found = rig.run(rig.broker.state.get(RUN, "k"))
    return found.version, found.value


def made_again(rig: Rig) -> int:
    """Read, then removed and made again."""
    assert put(rig, b"one", {})
    version, _ = read(rig)
    assert put(rig, None, {})
    assert put(rig, b"other", {})
    return version


def lost(rig: Rig) -> int:
    """Read, then lost with the end of the log; then written by somebody else."""
    assert put(rig, b"one", {})
    log = rig.saved()
    assert put(rig, b"two", {})
    version, _ = read(rig)
    rig.put_back(log)
    assert put(rig, b"other", {})
    return version


@pytest.mark.parametrize("happens", [made_again, lost])
def test_who_has_read_a_key_that_is_another_one_by_now_is_told(rig: Rig, happens: Callable[[Rig], int]) -> None:
    rig.submit(RUN)
    (delivery,) = rig.claim("w1")
    version = happens(rig)
    assert not put(rig, b"mine", {"k": version})
    assert rig.effects(delivery, [StateSet(key="k", value=b"mine", version=version)])[1] == ["conflict"]
    worked_out = {"id": "c", "key": "k", "value": b"mine", "version": version, "result": pack(1)}
    assert rig.make(delivery, worked_out).word == "conflict"
    now, value = read(rig)
    assert (value, now > version) == (b"other", True)
    assert put(rig, b"mine", {"k": now})
