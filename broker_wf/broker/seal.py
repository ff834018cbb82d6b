"""How a call is known to be as durable as was asked for: a write behind it, and a wait for that write."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.clients import Argument
from broker_wf.broker.keys import Keys
from broker_wf.broker.script import load

log = logging.getLogger("broker_wf.connection")

_LONGEST_WAIT_MS = 500
REPLICATED, FSYNC = "replicated", "fsync"


@dataclass(slots=True, kw_only=True)
class Seal:
    """What is sent behind calls, on their connection.

    Servers wait for what a connection has written. A call that finds that it was made before writes nothing, so there
    is a write of our own behind it: who has that has all that the server knew before, the call's effect too, whichever
    connection it came by. If the server was replaced meanwhile, call and write go to the same one.

    Attributes:
        commands: the write and the wait.
        lacking: what is not so while the wait is in vain.
    """

    commands: tuple[tuple[Argument, ...], ...]
    lacking: str
    _told: bool = False

    def fault(self, replies: list[object]) -> str:
        """Why what was sent before is not durable yet; empty if it is. Says so once."""
        waited = cast("list[object] | int | Exception", replies[-1])
        kept = waited[0] if isinstance(waited, list) else waited
        wrong = next((str(one) for one in replies if isinstance(one, Exception)), "")
        if not wrong and isinstance(kept, int) and kept >= 1:
            if self._told:
                log.warning("what was written is durable again")
            self._told = False
            return ""
        fault = f"{self.lacking}{wrong and f' ({wrong})'}"
        if not self._told:
            log.warning("%s: what waits for that is not reported until then", fault)
        self._told = True
        return fault


def seal_of(durability: str, keys: Keys, socket_ms: int) -> Seal | None:
    """What ``Settings.durability`` asks for; None: nothing."""
    wait_ms = min(_LONGEST_WAIT_MS, socket_ms // 2)
    write = ("EVAL", load("seal").whole, 1, keys.tag)
    if durability == REPLICATED:
        return Seal(commands=(write, ("WAIT", 1, wait_ms)), lacking="no replica has what was written")
    if durability == FSYNC:
        return Seal(commands=(write, ("WAITAOF", 1, 0, wait_ms)), lacking="what was written is not on the disk")
    return None
