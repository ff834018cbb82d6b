"""Dead letters: what was given up on, until a person has looked at it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.connection import Pipe
from broker_wf.broker.packing import unpack
from broker_wf.broker.reruns import RerunStore
from broker_wf.core.ids import RunId
from broker_wf.errors import DeadLetterNotFoundError, NothingToRerunError

_RUN_PART = 150
"""Characters of the old run's id in that of the one that a letter leads to."""
_ENTRY = re.compile(r"[0-9]{1,18}-[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class LetterStore:
    """The letters as a whole; scripts write them, where they end the run or delivery they are about."""

    pipe: Pipe
    reruns: RerunStore

    async def retry(self, letter_id: str) -> RunId:
        """Let the run that a letter is about go on, as a new run whose id follows from the letter's; drop the letter.

        However often that is asked for, and by however many at one time, there is one such run.

        Raises:
            DeadLetterNotFoundError: no such letter: it was dropped, or retried before.
            NothingToRerunError: it is about no delivery, or what its run had not finished is not kept.
            RunNotFoundError: its run is kept no longer.
            ValueError: no letter can have such an id.
        """
        self._check([letter_id])
        raw = await self.pipe.command("XRANGE", self.pipe.keys.of("dead"), letter_id, letter_id)
        if not raw:
            raise DeadLetterNotFoundError(letter_id)
        letter = _letter(cast("list[object]", raw)[0])
        run, step = letter.get(b"run"), letter.get(b"step")
        if not isinstance(run, bytes) or not isinstance(step, bytes) or b"delivery" not in letter:
            raise NothingToRerunError("of this letter", "it is about no delivery of a run")
        new_id = RunId(f"{run.decode()[:_RUN_PART]}.{letter_id}")
        await self.reruns.unfinished(RunId(run.decode()), new_id, step.decode())
        await self.drop([letter_id])
        return new_id

    async def drop(self, ids: Sequence[str]) -> int:
        """Delete letters. Returns how many were there.

        Raises:
            ValueError: an id is none; nothing was deleted.
        """
        self._check(ids)
        return cast(int, await self.pipe.command("XDEL", self.pipe.keys.of("dead"), *ids))

    def _check(self, ids: Sequence[str]) -> None:
        wrong = next((one for one in ids if not _ENTRY.fullmatch(one)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is no id of a dead letter")


def _letter(entry: object) -> dict[bytes, object]:
    _, fields = cast("tuple[bytes, object]", entry)
    packed = (
        cast("dict[bytes, bytes]", fields)[b"letter"] if isinstance(fields, dict) else cast("list[bytes]", fields)[1]
    )
    return cast("dict[bytes, object]", unpack(packed))
