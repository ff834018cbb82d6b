"""What a run is started with besides its start event: tags, delay, priority, what to do where its id is taken."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, get_args

OnConflict = Literal["fail", "attach", "restart"]
Priority = Literal["high", "normal", "low"]

MOST_TAGS, LONGEST_TAG, LONGEST_VALUE = 32, 64, 256
LONGEST_KEY = 256
LONGEST_DELAY_S = 366 * 86_400

_CHOICES = {"on_conflict": get_args(OnConflict), "priority": get_args(Priority)}
_SHORT = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_LONG = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run is started with besides its start event.

    Attributes:
        tags: texts to find it by; reruns have them too.
        delay: how long after it was accepted its first step may begin: seconds, or a text such as ``30s``, ``5m``,
            ``2h`` or ISO 8601's ``PT5M``. Till then it is queued, takes no turn of ``num_concurrent_runs``, and its
            timeout does not run.
        on_conflict: where its id is that of a run of the workflow: ``fail`` attaches if the start event is the same and
            is a conflict otherwise; ``attach`` always attaches; ``restart`` cancels and forgets that run and begins.
        priority: its steps go before those of runs of lower priority, wherever a worker has both: of 21 times that a
            worker looks for work it begins 16 times with ``high``, 4 with ``normal``, once with ``low``. Of runs that
            wait for their turn of ``num_concurrent_runs``, four of a priority are next for one of the priority below.
        fairness_key: of runs that wait for their turn, one of each key is next, round and round; those without a key
            are together like those of one. Only for workflows with ``num_concurrent_runs``: others let nobody wait.

    Raises (when made):
        ValueError: a value that no run can have; says which, and what is possible.
    """

    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    delay: float | str | timedelta = 0.0
    on_conflict: OnConflict = "fail"
    priority: Priority = "normal"
    fairness_key: str | None = None

    def __post_init__(self) -> None:
        if len(self.tags) > MOST_TAGS:
            raise ValueError(f"tags: a run can have {MOST_TAGS} at most, not {len(self.tags)}")
        for name, value in self.tags.items():
            _check_tag(name, value)
        _seconds(self.delay)
        for name, possible in _CHOICES.items():
            if (given := getattr(self, name)) not in possible:
                raise ValueError(f"{name} cannot be {given!r}: it is one of {', '.join(possible)}")
        if self.fairness_key is not None and not (self.fairness_key and _is_plain(self.fairness_key, LONGEST_KEY)):
            raise ValueError(
                f"fairness_key cannot be {self.fairness_key!r}: use 1 to {LONGEST_KEY} printable characters"
            )

    @property
    def delay_ms(self) -> int:
        """The delay."""
        return 0 if self.delay == 0 else math.ceil(1000 * _seconds(self.delay))


def _is_plain(text: object, longest: int) -> bool:
    return isinstance(text, str) and len(text) <= longest and text.isprintable()


def _check_tag(name: object, value: object) -> None:
    if not name or not _is_plain(name, LONGEST_TAG) or "=" in str(name):
        raise ValueError(f"tags: {name!r} is no name: use 1 to {LONGEST_TAG} printable characters without '='")
    if not _is_plain(value, LONGEST_VALUE):
        raise ValueError(
            f"tags: {name!r} cannot be {value!r}: use text of at most {LONGEST_VALUE} printable characters"
        )


def _seconds(delay: object) -> float:
    """A delay in seconds.

    Raises:
        ValueError: it is none, or too long.
    """
    if isinstance(delay, timedelta):
        found = delay.total_seconds()
    elif isinstance(delay, str):
        found = _read(delay.strip())
    else:
        found = float(delay) if isinstance(delay, int | float) and not isinstance(delay, bool) else math.nan
    if not 0 <= found <= LONGEST_DELAY_S:
        raise ValueError(
            f"delay cannot be {delay!r}: give seconds, or text such as '30s', '5m', '2h' or 'PT5M'; 366 days at most"
        )
    return found


def _read(text: str) -> float:
    short, long = _SHORT.fullmatch(text), _LONG.fullmatch(text)
    if short is not None:
        return float(short[1]) * _UNIT_S[short[2] or "s"]
    if long is None:
        return math.nan
    return sum(float(part or 0) * unit_s for part, unit_s in zip(long.groups(), (86_400, 3_600, 60, 1), strict=True))


def checked_options(given: object) -> RunOptions:
    """What was given, if it is that.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(given, RunOptions):
        raise TypeError(f"run_options must be a RunOptions, not {type(given).__name__}")
    return given


NO_OPTIONS = RunOptions()
"""What a run has about which nobody said anything."""
