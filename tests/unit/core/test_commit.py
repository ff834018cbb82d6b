from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from broker_wf import Workflow, catch_error, step
from broker_wf.core.commit import StepCommit, handler_for, plan_commit, plan_failure, plan_recovery
from broker_wf.core.ids import CollectionId, DeliveryId, StepName
from broker_wf.core.outcome import CollectDecision, Raised, Returned
from broker_wf.core.routing import Router
from broker_wf.events import Event, InputRequiredEvent, StartEvent, StepFailedEvent, StopEvent
from broker_wf.retry_policy import retry_policy, stop_after_attempt, wait_fixed
from tests.unit.core.deliveries import delivery

RESCUE = StepName("rescue")


class Item(Event):
    pass


class Done(Event):
    pass


class Flow(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> list[Item] | Done | InputRequiredEvent:
        raise NotImplementedError

    @step(retry_policy=retry_policy(wait=wait_fixed(0.25), stop=stop_after_attempt(3)))
    async def work(self, ev: Item) -> Done:
        raise NotImplementedError

    @step
    async def join(self, evs: list[Done]) -> StopEvent:
        raise NotImplementedError

    @catch_error(for_steps=["work"], max_recoveries=2)
    async def rescue(self, ev: StepFailedEvent) -> Done:
        raise NotImplementedError


@pytest.fixture(scope="module")
def router() -> Router:
    return Flow(skip_graph_checks=["dead_end"]).program().router


def planned(router: Router, *events: Event, listed: bool = False, id_: str = "0@begin") -> StepCommit:
    return plan_commit(router, delivery(id=DeliveryId(id_)), Returned(events=events, listed=listed), ())


def test_children_are_numbered_in_the_order_in_which_they_were_returned(router: Router) -> None:
    commit = planned(router, Item(), Item(), listed=True)
    assert [one.id for one in commit.emissions] == ["0@begin.0", "0@begin.1"]


def test_ids_of_children_do_not_depend_on_the_attempt(router: Router) -> None:
    returned = Returned(events=(Item(),), listed=True)
    first, second = (plan_commit(router, delivery(attempt=n), returned, ()) for n in (1, 2))
    assert first.emissions[0].id == second.emissions[0].id


def test_children_of_a_long_id_have_short_ids(router: Router) -> None:
    commit = planned(router, Item(), listed=True, id_="x" * 100 + "@begin")
    assert len(commit.emissions[0].id) < 64


def test_a_list_opens_a_collection_with_the_joins_that_close_it(router: Router) -> None:
    opening = planned(router, Item(), listed=True).opening
    assert opening is not None
    assert opening.id == CollectionId("0@begin*")
    assert [join.step for join in opening.joins] == ["join"]


def test_an_empty_list_opens_a_collection_too(router: Router) -> None:
    assert planned(router, listed=True).opening is not None


def test_a_bare_event_opens_nothing(router: Router) -> None:
    assert planned(router, Done()).opening is None


def test_a_list_that_nobody_joins_opens_nothing(router: Router) -> None:
    returned = Returned(events=(Done(),), listed=True)
    assert plan_commit(router, delivery(step=StepName("work")), returned, ()).opening is None


def test_a_stop_event_ends_the_run_and_drops_what_was_returned_beside_it(router: Router) -> None:
    stop = StopEvent(result=1)
    commit = planned(router, Item(), stop, listed=True)
    assert commit.stop is stop
    assert commit.emissions == ()
    assert commit.opening is None


def test_a_question_is_published_and_handed_on(router: Router) -> None:
    question = InputRequiredEvent()
    commit = planned(router, question)
    assert commit.asked == (question,)
    assert [one.event for one in commit.emissions] == [question]


def test_nothing_returned_is_a_commit_all_the_same(router: Router) -> None:
    commit = planned(router)
    assert (commit.emissions, commit.asked, commit.stop) == ((), (), None)


@pytest.mark.parametrize("event", [Item(), StopEvent()])
def test_what_collect_events_decided_goes_with_every_commit(router: Router, event: Event) -> None:
    name = router.spec.name_of(Item)
    decision = CollectDecision(buffer="default", name=name, event=Item(), want={name: 2}, fire=False)
    commit = plan_commit(router, delivery(), Returned(events=(event,), listed=False), (decision,))
    assert commit.decisions == (decision,)


def failed(router: Router, step_name: str, attempt: int) -> int | None:
    held = delivery(step=StepName(step_name), attempt=attempt)
    return plan_failure(router, held, Raised(error=ValueError("no")), 1000).delay_ms


def test_a_step_without_a_policy_fails_at_once(router: Router) -> None:
    assert failed(router, "begin", 1) is None


def test_a_step_is_tried_again_as_its_policy_says(router: Router) -> None:
    assert [failed(router, "work", attempt) for attempt in (1, 2, 3)] == [250, 250, None]


def test_a_failure_carries_what_was_raised_and_how_long_it_took(router: Router) -> None:
    error = ValueError("no")
    failure = plan_failure(router, delivery(), Raised(error=error), 1234)
    assert (failure.error, failure.elapsed_ms) == (error, 1234)


@pytest.mark.parametrize(
    ("step_name", "used", "handled"), [("work", 0, True), ("work", 1, True), ("work", 2, False), ("join", 0, False)]
)
def test_a_handler_is_called_for_its_steps_until_its_budget_is_used_up(
    router: Router, step_name: str, used: int, handled: bool
) -> None:
    failed = replace(delivery(id=DeliveryId(f"0@{step_name}")), step=StepName(step_name), recoveries={RESCUE: used})
    assert (handler_for(router, failed) is not None) is handled


def test_a_recovery_counts_itself_and_goes_to_the_handler_alone(router: Router) -> None:
    other = StepName("other")
    failed = replace(delivery(id=DeliveryId("0@begin.3@work")), recoveries={RESCUE: 1, other: 4})
    event = StepFailedEvent(
        step_name="work",
        input_event=Item(),
        exception=ValueError("no"),
        attempts=1,
        elapsed_seconds=0,
        failed_at=datetime.now(timezone.utc),
    )
    recovery = plan_recovery(router, router.spec.steps[RESCUE], failed, event)
    assert recovery.counts == {RESCUE: 2, other: 4}
    assert recovery.emission.id == "0@begin.3@work!"
    assert recovery.emission.route.to == (RESCUE,)
