"""What travels between the steps, and between the workflow and the person who is asked."""

from __future__ import annotations

from pydantic import Field

from apps.approval.piece import Piece
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent


class ApprovalStart(StartEvent):
    """Begins a run.

    Attributes:
        folder: where the text is published; every worker must be able to write there.
        patience_s: how long each version waits for an answer; None: for ever.
    """

    title: str = Field(min_length=1)
    points: list[str] = Field(min_length=1)
    folder: str
    patience_s: float | None = Field(default=None, gt=0)


class Drafted(Event):
    """A version that nobody has seen yet."""

    start: ApprovalStart
    piece: Piece
    version: int


class Question(InputRequiredEvent):
    """Published for a person: may this be published?

    Attributes:
        version: goes back in the answer.
        remarks: what the last reviewer wished and no edit could do.
    """

    version: int
    text: str
    remarks: list[str]


class Answer(HumanResponseEvent):
    """What a person says to one version; an answer to another version is none.

    Attributes:
        comment: edits, a line each; see ``apps.approval.piece.revised``.
    """

    version: int
    approve: bool
    comment: str = ""
    by: str = "somebody"


class Rejected(Event):
    """A version that shall be revised."""

    start: ApprovalStart
    piece: Piece
    version: int
    comment: str


class Approved(Event):
    """A version that shall be published."""

    start: ApprovalStart
    piece: Piece
    version: int
    by: str
