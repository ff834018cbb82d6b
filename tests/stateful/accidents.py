"""What the server itself may do to a namespace: lose its last seconds, let the keys of a run expire."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from broker_wf.broker.deliveries import Ended
from broker_wf.core.outcome import Written
from tests.stateful.acts import one_of
from tests.stateful.flow import Done, Task
from tests.stateful.model import Run
from tests.stateful.rig import Saved
from tests.stateful.twins import Twins


@dataclass(frozen=True, slots=True)
class Moment:
    """A state of the server, and what the model and the test knew then."""

    keys: list[Saved]
    runs: dict[str, Run]
    intact: bool
    positions_lost: bool
    letters: int


class Accidents(Twins):
    remembered: Moment | None = None

    @precondition(lambda self: self.remembered is None and bool(self.leases))
    @rule()
    def the_server_writes_its_log(self) -> None:
        """What it holds now is what it has after the next power loss."""
        runs = copy.deepcopy(self.runs)
        self.remembered = Moment(self.rig.saved(), runs, self.intact, self.positions_lost, self.letters)

    @precondition(lambda self: self.remembered is not None)
    @rule()
    def the_server_loses_what_came_since(self) -> None:
        """Who held a lease believes so still; a driver submits again what is gone."""
        moment, self.remembered = self.remembered, None
        assert moment is not None
        self.rig.put_back(moment.keys)
        self.runs = copy.deepcopy(moment.runs)
        self.intact, self.positions_lost, self.letters = moment.intact, moment.positions_lost, moment.letters
        self.strays = True
        self.leases = [one for one in self.leases if one.run_id in self.runs]
        self.places = [one for one in self.places if one.run_id in self.runs]

    @precondition(lambda self: any(run.status != "running" for run in self.runs.values()))
    @rule(n=st.integers(0, 1_000))
    def the_keys_of_an_ended_run_expire(self, n: int) -> None:
        """Whoever had a lease of it is told that it is gone, and writes nothing."""
        ended = sorted(run_id for run_id, run in self.runs.items() if run.status != "running")
        for run_id in one_of(ended, n):
            self.rig.expire(run_id)
            zombies = [one for one in self.leases if one.run_id == run_id]
            for zombie in one_of(zombies, n):
                assert self.rig.commit(self.rig.plan(zombie, [Task(n=n)], listed=False)) is Ended.GONE
                assert self.rig.fail(zombie, 0) is Ended.GONE
                assert self.rig.effects(zombie, [Written(event=Done(n=n))])[0] is Ended.GONE
                assert self.rig.renew(zombie) is False
                assert self.rig.word("pause", zombie) == self.rig.word("resume", zombie, 0, 1) == "GONE"
            assert self.rig.keys_of(run_id) == []
            self.rig.run(self.rig.broker.deliveries.free_places(self.rig.lane, zombies))
            self.letters += self.runs.pop(run_id).letters
            self.leases = [one for one in self.leases if one.run_id != run_id]
            self.places = [one for one in self.places if one.run_id != run_id]
            self.remembered = None

    @precondition(lambda self: bool(self.leases))
    @rule(n=st.integers(0, 1_000), twice=st.booleans())
    def wait_for_a_child_run(self, n: int, twice: bool) -> None:
        """Any lease there ever was; of a limited step those that are lost, for its places would be for others."""
        for delivery in one_of(self.leases, n):
            refused = self.runs[delivery.run_id].refusal(delivery.id, delivery.fence)
            if refused is None and delivery.step == "limited":
                continue
            expected = "OK" if refused is None else refused.name
            for _ in range(1 + twice):
                assert self.rig.word("pause", delivery) == expected
            for _ in range(1 + twice):
                assert self.rig.word("resume", delivery, 0, 60_000) == expected
