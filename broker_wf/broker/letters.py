"""Dead letters: what was given up on, until a person has looked at it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.connection import Pipe

_ENTRY = re.compile(r"\d{1,20}-\d{1,20}")


@dataclass(frozen=True, slots=True)
class LetterStore:
    """The letters as a whole; scripts write them, where they end the run or delivery they are about."""

    pipe: Pipe

    async def drop(self, ids: Sequence[str]) -> int:
        """Delete letters. Returns how many were there.

        Raises:
            ValueError: an id is none; nothing was deleted.
        """
        wrong = next((one for one in ids if not _ENTRY.fullmatch(one)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is no id of a dead letter")
        return cast(int, await self.pipe.command("XDEL", self.pipe.keys.of("dead"), *ids))
