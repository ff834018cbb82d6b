"""What a worker serves."""

from __future__ import annotations

from dataclasses import dataclass

from broker_wf.broker.roster import Group, groups_of
from broker_wf.core.ids import Lane
from broker_wf.engine.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A workflow served in a lane. A private lane belongs to this process: its keys go when it closes."""

    program: Program
    lane: Lane
    private: bool = False

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lane itself, and that of runs set aside for this digest."""
        return self.lane, Lane(f"{self.lane}#{self.program.spec.digest}")

    @property
    def groups(self) -> list[Group]:
        """The consumer groups of its steps in these lanes."""
        return [group for lane in self.lanes for group in groups_of(self.program.spec, lane)]
