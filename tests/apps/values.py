"""A value whose module holds no workflow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Behind:
    """No annotation tells of it."""

    text: str
