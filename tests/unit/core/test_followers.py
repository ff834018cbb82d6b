from __future__ import annotations

import pytest

from broker_wf import Workflow, step
from broker_wf.core.commit import plan_commit
from broker_wf.core.outcome import Returned
from broker_wf.core.routing import Router
from broker_wf.events import Event, StartEvent, StopEvent
from tests.unit.core.deliveries import delivery


class Plain(Event):
    pass


class Placed(Event):
    pass


class PlacedPerRun(Event):
    pass


class Shared(Event):
    pass


class Half(Event):
    pass


class Member(Event):
    pass


class Flow(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Plain | Placed | PlacedPerRun | Shared | Half | list[Member]:
        raise NotImplementedError

    @step
    async def plain(self, ev: Plain) -> StopEvent:
        raise NotImplementedError

    @step(num_workers=2)
    async def placed(self, ev: Placed) -> None:
        raise NotImplementedError

    @step(num_workers_per_run=2)
    async def placed_per_run(self, ev: PlacedPerRun) -> None:
        raise NotImplementedError

    @step
    async def one(self, ev: Shared) -> None:
        raise NotImplementedError

    @step
    async def other(self, ev: Shared) -> None:
        raise NotImplementedError

    @step
    async def pair(self, left: Half, right: Shared) -> None:
        raise NotImplementedError

    @step
    async def join(self, evs: list[Member]) -> None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def router() -> Router:
    return Flow(skip_graph_checks=["dead_end"]).program().router


def follower(router: Router, *events: Event, listed: bool = False) -> str | None:
    commit = plan_commit(router, delivery(), Returned(events=events, listed=listed), ())
    return commit.follower(router.spec)


def test_one_event_for_one_step_is_followed_by_that(router: Router) -> None:
    assert follower(router, Plain()) == "plain"


@pytest.mark.parametrize("event", [Placed(), PlacedPerRun(), Shared(), Half(), Member(), StopEvent()], ids=repr)
def test_places_several_takers_and_joins_are_for_everybody(router: Router, event: Event) -> None:
    assert follower(router, event) is None


def test_none_and_lists_are_followed_by_nothing_alone(router: Router) -> None:
    assert follower(router) is None
    assert follower(router, Member(), listed=True) is None
