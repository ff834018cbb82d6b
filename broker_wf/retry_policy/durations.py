"""How long: as numbers or timedeltas outside, as float seconds inside."""

from __future__ import annotations

from datetime import timedelta

time_unit_type = int | float | timedelta
"""Seconds, or a timedelta."""


def seconds(value: time_unit_type) -> float:
    """Convert to seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
