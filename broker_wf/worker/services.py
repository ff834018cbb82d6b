"""What a worker serves: workflows, each in its lanes."""

from __future__ import annotations

from contextvars import Context
from dataclasses import dataclass, field

from broker_wf.broker.asking import Serving
from broker_wf.broker.roster import Group, groups_of
from broker_wf.core.ids import PRIORITIES, Lane, RunId, WorkflowName
from broker_wf.engine.program import Program


@dataclass(frozen=True, slots=True)
class Begun:
    """What a run executes, and the context in which it was begun in this process."""

    program: Program
    context: Context = field(default_factory=Context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A workflow served in a lane. A private lane belongs to this process: its keys go when it closes.

    Attributes:
        runs: those that this process has begun, each on an instance of its own.
    """

    program: Program
    lane: Lane
    private: bool = False
    runs: dict[RunId, Begun] = field(default_factory=dict[RunId, Begun])

    def begun(self, run_id: RunId) -> Begun:
        """What a run executes."""
        return self.runs.get(run_id) or Begun(self.program)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lane itself, and that of runs set aside for this digest."""
        return self.lane, Lane(f"{self.lane}#{self.program.spec.digest}")

    @property
    def lasting_groups(self) -> list[Group]:
        """The groups that are there as long as the workflow is; those of priorities come with their first run."""
        return [group for lane in self.lanes for group in groups_of(self.program.spec, lane)]

    @property
    def groups(self) -> list[Group]:
        """The consumer groups of its steps in these lanes, those of priorities among them."""
        ranked = () if self.private else (Lane(f"{self.lane}#{one}") for one in PRIORITIES)
        return [*self.lasting_groups, *(group for lane in ranked for group in groups_of(self.program.spec, lane))]

    @property
    def offers(self) -> list[Serving]:
        """What a claim says of it."""
        spec = self.program.spec
        limits, per_run = spec.places, spec.places_per_run
        return [Serving(lane=n, digest=spec.digest, limits=limits, per_run=per_run) for n in self.lanes]


@dataclass(slots=True)
class Services:
    """All that a worker serves, by lane."""

    _served: dict[Lane, Served] = field(default_factory=dict[Lane, Served])

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._served

    def add(self, served: Served) -> None:
        """Serve it from now on, in the place of what its lane had."""
        self._served[served.lane] = served

    def remove(self, lane: Lane) -> Served | None:
        """Serve a lane no longer; what it had."""
        return self._served.pop(lane, None)

    def get(self, lane: Lane) -> Served | None:
        """What is served in a lane."""
        return self._served.get(lane)

    def all(self) -> list[Served]:
        """All of them, in the order in which they came."""
        return list(self._served.values())

    def offers(self) -> list[Serving]:
        """What a claim says."""
        return [offer for one in self._served.values() for offer in one.offers]

    def lanes(self) -> list[Lane]:
        """Every lane."""
        return [lane for one in self._served.values() for lane in one.lanes]

    def groups(self) -> list[Group]:
        """Every consumer group."""
        return [group for one in self._served.values() for group in one.groups]

    def workflows(self) -> list[WorkflowName]:
        """Names, each once, in order."""
        return sorted({one.program.spec.name for one in self._served.values()})
