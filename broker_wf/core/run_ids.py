"""Ids that runs can have."""

from __future__ import annotations

import secrets
import string

from broker_wf.core.ids import RunId

_RUN_ID_ALPHABET = string.ascii_letters + string.digits
_LONGEST_RUN_ID = 200


def checked_run_id(run_id: object) -> RunId:
    """The id as given, if a run can have it.

    Raises:
        ValueError: it cannot; says what it may hold.
    """
    text = run_id if isinstance(run_id, str) else ""
    bad = not text or len(text) > _LONGEST_RUN_ID or any(c in "|{}" or not c.isprintable() for c in text)
    if bad:
        raise ValueError(
            f"run_id cannot be {run_id!r}: use 1 to {_LONGEST_RUN_ID} printable characters without '|', '{{' and '}}'"
        )
    return RunId(text)


def new_run_id() -> RunId:
    """A random id: ten letters and digits, as upstream's."""
    letters = len(_RUN_ID_ALPHABET)
    number = secrets.randbelow(letters**10)
    text = ""
    for _ in range(10):
        number, letter = divmod(number, letters)
        text += _RUN_ID_ALPHABET[letter]
    return RunId(text)
