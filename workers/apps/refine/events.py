"""What travels between the steps beside the events of the search application, and what a run remembers."""

from __future__ import annotations

from pydantic import BaseModel, Field

from apps.refine.criteria import Score
from apps.search.answer import Passage
from apps.search.events import SearchStart, Shard, Trail
from broker_wf.events import Event

GOOD = 0.95
"""The score from which an answer is good, where the start event says nothing else."""


class RefineStart(SearchStart):
    """Begins a run.

    Attributes:
        rounds: how many drafts there are at most.
        good: the score, 0 to 1, at which the answer is taken.
    """

    rounds: int = Field(default=4, ge=1, le=20)
    good: float = Field(default=GOOD, ge=0, le=1)


class Drafted(Event):
    """An answer that waits for its score."""

    round: int
    answer: str
    worker: str


class Weak(Event):
    """The best answer so far is not good enough, and there are rounds left.

    Attributes:
        round: the one that is over, from 1.
    """

    round: int


class Round(BaseModel):
    """One round of a run, as the result tells it."""

    answer: str
    score: Score
    query: str


class Memory(BaseModel):
    """The state of a run (``ctx.store``).

    Every step writes what its event determines, so a step that is started again writes the same once more.

    Attributes:
        start: what the run began with.
        round: the one that goes on, from 1.
        query: what the current round searched for.
        shards: the corpus, as the first round planned it.
        pools: the passages that each round added, by its number; an answer's numbers count through them all.
        rounds: those that are over, by number.
        trails: who did what in each round.
    """

    start: RefineStart | None = None
    round: int = 1
    query: str = ""
    shards: list[Shard] = Field(default_factory=list[Shard])
    pools: dict[int, list[Passage]] = Field(default_factory=dict[int, list[Passage]])
    rounds: dict[int, Round] = Field(default_factory=dict[int, Round])
    trails: dict[int, Trail] = Field(default_factory=dict[int, Trail])

    def passages(self) -> list[Passage]:
        """All passages found so far, in the order in which answers number them."""
        return [passage for number in sorted(self.pools) for passage in self.pools[number]]

    def best(self) -> tuple[int, Round]:
        """The round with the best answer; of equals the first.

        Raises:
            ValueError: no round is over.
        """
        return max(self.rounds.items(), key=lambda entry: (entry[1].score.total, -entry[0]))


class RoundScored(Event):
    """Published when a draft has its score, for people to watch.

    Attributes:
        best: the best score so far, this one included.
    """

    round: int
    total: float
    best: float
    missing: list[str]
    worker: str
