"""Values that a workflow of another module puts into its state."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from broker_wf import register


class Unknown(BaseModel):
    """Nobody has registered it."""

    weight: int = 1


@dataclass
class Label:
    """Comes with what is registered."""

    text: str


@register
@dataclass
class Parcel:
    """Is registered."""

    label: Label
