"""Tags, delays and taken ids: of runs that workers execute, and of those of this process."""

from __future__ import annotations

import asyncio

import pytest
import redis

from broker_wf import Context, RunOptions, Workflow, step
from broker_wf.again import rerun
from broker_wf.errors import RunConflictError, RunOptionError, WorkflowCancelledByUser
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.home import home_of
from broker_wf.inspector import Inspector
from broker_wf.inspector.views import RunView
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within

LATER = RunOptions(delay="1h", tags={"who": "Zoë"})


class Go(Event):
    pass


class Told(Workflow):
    """Ends when it is told to."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Go | None:
        probe.mark(ev.name, f"begun {ev.get('number', 0)}")
        return None

    @step
    async def end(self, ctx: Context, ev: Go) -> StopEvent:
        await asyncio.sleep(0)
        return StopEvent(result="gone")


async def shown(stage: Stage, run_id: str) -> RunView:
    return await Inspector((await home_of(stage.settings)).broker).run(run_id)


def score(stage: Stage, run_id: str) -> float | None:
    with redis.Redis.from_url(stage.url) as client:
        return client.zscore(stage.keys.of("watch"), f"{run_id}|!begin")


def make_due(stage: Stage, run_id: str) -> None:
    with redis.Redis.from_url(stage.url) as client:
        client.zadd(stage.keys.of("watch"), {f"{run_id}|!begin": 1}, xx=True)


async def test_a_run_has_the_tags_it_was_started_with_and_so_has_its_rerun(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Told), cluster.settings.namespace
    tags = {"kunde": "Zoë", "n": "a=b"}
    run = flow.run(name=name, run_options=RunOptions(tags=tags))
    await within(run.send_event(Go()))
    await within(run)
    broker = (await home_of(cluster.settings)).broker
    assert (await shown(cluster, run.run_id)).tags == tags
    await broker.reruns.whole(run.run_id, "again")  # pyright: ignore[reportArgumentType]
    listed = {one.run_id: one.tags for one in await Inspector(broker).runs()}
    assert listed == {run.run_id: tags, "again": tags}
    await broker.runs.cancel("again")  # pyright: ignore[reportArgumentType]


async def test_a_run_that_was_put_off_begins_when_its_moment_has_come(stage: Stage) -> None:
    flow, name = await stage.put_on(Told), stage.settings.namespace
    run = flow.run(name=name, run_options=LATER)
    await within(run.send_event(Go()))
    view = await shown(stage, run.run_id)
    assert (view.status, view.started_at, view.backlog) == ("queued", None, 2)
    assert view.begins_at is not None
    assert (view.begins_at - view.created_at).total_seconds() == 3600
    assert probe.marks(name) == []
    make_due(stage, run.run_id)
    assert await within(run) == "gone"
    ended = await shown(stage, run.run_id)
    assert (ended.status, ended.begins_at, ended.tags) == ("completed", None, {"who": "Zoë"})
    assert score(stage, run.run_id) is None


async def test_a_run_that_was_put_off_can_be_cancelled_and_never_begins(stage: Stage) -> None:
    flow, name = await stage.put_on(Told), stage.settings.namespace
    run = flow.run(name=name, run_options=LATER)
    await until_accepted(stage, run.run_id)
    await within(run.cancel_run())
    with pytest.raises(WorkflowCancelledByUser):
        await within(run)
    assert probe.marks(name) == []
    assert score(stage, run.run_id) is None


async def until_accepted(stage: Stage, run_id: str) -> None:
    await until(lambda: score(stage, run_id) is not None)


async def test_a_delay_outlives_workers_and_the_loss_of_its_timer(cluster: Stage) -> None:
    flow, name = cluster.flow(Told), cluster.settings.namespace
    worker = await cluster.add_worker(Told)
    run = flow.run(name=name, run_options=LATER)
    await until_accepted(cluster, run.run_id)
    await cluster.stop_worker(worker)
    with redis.Redis.from_url(cluster.url) as client:
        client.zrem(cluster.keys.of("watch"), f"{run.run_id}|!begin")
    broker = (await home_of(cluster.settings)).broker
    audited = await broker.schedule.audit(flow.spec.name, 0, 10)
    assert (audited.runs, audited.repairs) == (1, 1)
    assert score(cluster, run.run_id) is not None
    await cluster.add_worker(Told)
    make_due(cluster, run.run_id)
    await until(lambda: probe.marks(name) == ["begun 0"])
    await within(run.send_event(Go()))
    assert await within(run) == "gone"


async def test_a_run_that_was_put_off_takes_no_turn_before_its_moment(cluster: Stage) -> None:
    flow, name = await cluster.put_on(Told, num_concurrent_runs=1), cluster.settings.namespace
    later = flow.run(name=name, number=1, run_options=LATER)
    await until_accepted(cluster, later.run_id)
    now = flow.run(name=name, number=2)
    await until(lambda: probe.marks(name) == ["begun 2"])
    broker = (await home_of(cluster.settings)).broker
    assert (await broker.schedule.audit(flow.spec.name, 0, 10)).repairs == 0
    make_due(cluster, later.run_id)
    await until(lambda: score(cluster, later.run_id) is None)
    assert (await shown(cluster, later.run_id)).status == "queued"
    await within(now.send_event(Go()))
    assert await within(now) == "gone"
    await until(lambda: probe.marks(name) == ["begun 2", "begun 1"])
    await within(later.send_event(Go()))
    assert await within(later) == "gone"


async def test_where_the_id_is_taken_a_run_may_attach_whatever_it_was_to_begin_with(stage: Stage) -> None:
    flow, name = await stage.put_on(Told), stage.settings.namespace
    first = flow.run(name=name, number=1, run_id="one")
    await until(lambda: probe.marks(name) == ["begun 1"])
    second = flow.run(name=name, number=2, run_id="one", run_options=RunOptions(on_conflict="attach"))
    with pytest.raises(RunConflictError):
        await within(flow.run(name=name, number=2, run_id="one"))
    await within(second.send_event(Go()))
    assert [await within(first), await within(second)] == ["gone", "gone"]
    assert probe.marks(name) == ["begun 1"]


@pytest.mark.parametrize("is_ended", [False, True], ids=["live", "ended"])
async def test_where_the_id_is_taken_a_run_may_begin_in_the_place_of_the_one_there_is(
    cluster: Stage, is_ended: bool
) -> None:
    flow, name = await cluster.put_on(Told), cluster.settings.namespace
    first = flow.run(name=name, number=1, run_id="one", run_options=RunOptions(tags={"n": "1"}))
    await until(lambda: probe.marks(name) == ["begun 1"])
    if is_ended:
        await within(first.send_event(Go()))
        await within(first)
    restart = RunOptions(on_conflict="restart", tags={"n": "2"})
    second = flow.run(name=name, number=2, run_id="one", run_options=restart)
    await until(lambda: probe.marks(name) == ["begun 1", "begun 2"])
    if not is_ended:
        with pytest.raises(WorkflowCancelledByUser):
            await within(first)
    assert (await shown(cluster, "one")).tags == {"n": "2"}
    await within(second.send_event(Go()))
    assert await within(second) == "gone"
    assert (await shown(cluster, "one")).done == 2
    listed = await Inspector((await home_of(cluster.settings)).broker).runs()
    assert [one.run_id for one in listed] == ["one"]


class Other(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        return StopEvent()


@pytest.mark.parametrize("wish", ["attach", "restart"])
async def test_the_id_of_another_workflows_run_stays_a_conflict(cluster: Stage, wish: str) -> None:
    flow, name = await cluster.put_on(Told), cluster.settings.namespace
    first = flow.run(name=name, run_id="one")
    await until(lambda: probe.marks(name) == ["begun 0"])
    other = cluster.flow(Other).run(run_id="one", run_options=RunOptions(on_conflict=wish))  # pyright: ignore[reportArgumentType]
    with pytest.raises(RunConflictError):
        await within(other)
    await within(first.send_event(Go()))
    assert await within(first) == "gone"


class Noted(Workflow):
    """Notes that it begins; as many runs as it is told of at one time."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        probe.mark(ev.name, ev.what)
        return StopEvent()


async def all_begun(stage: Stage, flow: Workflow, runs: list[tuple[str, RunOptions]]) -> None:
    """Submitted one after the other."""
    for number, (what, options) in enumerate(runs):
        flow.run(name=stage.settings.namespace, what=what, run_id=f"r{number}", run_options=options)
        await until_there(stage, f"r{number}")


async def until_there(stage: Stage, run_id: str) -> None:
    with redis.Redis.from_url(stage.url) as client:
        await until(lambda: client.exists(stage.keys.of("run", run_id)) == 1)


async def begun(name: str, count: int) -> str:
    await until(lambda: len(probe.marks(name)) == count)
    return "".join(probe.marks(name))


LOW, NORMAL, HIGH = (RunOptions(priority=one) for one in ("low", "normal", "high"))


async def test_a_worker_takes_what_has_priority_first_and_leaves_nobody_out(cluster: Stage) -> None:
    """Of 21 claims 16 begin with the first priority, four with the second, one with the third."""
    cluster.change(concurrency=1)
    flow, name = cluster.flow(Noted), cluster.settings.namespace
    await all_begun(cluster, flow, [("l", LOW)] * 5 + [("n", NORMAL)] * 6 + [("h", HIGH)] * 30)
    await cluster.add_worker(Noted)
    order = await begun(name, 41)
    assert sorted(order) == sorted("l" * 5 + "n" * 6 + "h" * 30)
    first = order[:21]
    assert first.count("h") > first.count("n") > first.count("l") >= 1
    assert order.rindex("h") < order.rindex("l")


async def test_what_a_run_with_priority_does_is_shown_as_waiting_before_any_worker_has_come(cluster: Stage) -> None:
    worker = await cluster.add_worker(Noted)
    flow, name = cluster.flow(Noted), cluster.settings.namespace
    await cluster.stop_worker(worker)
    await all_begun(cluster, flow, [("h", HIGH), ("l", LOW), ("n", NORMAL)])
    inspector = Inspector((await home_of(cluster.settings)).broker)
    (load,) = (await inspector.status()).workflows
    assert (load.waiting, load.live_runs) == (3, 3)
    assert load.oldest_waiting_ms is not None
    assert [(await inspector.run(f"r{n}")).priority for n in range(3)] == ["high", "low", "normal"]
    await cluster.add_worker(Noted)
    await begun(name, 3)


async def test_a_step_of_a_run_with_priority_is_done_again_when_its_worker_has_left(cluster: Stage) -> None:
    flow, name = cluster.flow(Told), cluster.settings.namespace
    worker = await cluster.add_worker(Told)
    run = flow.run(name=name, run_options=HIGH)
    await until(lambda: probe.marks(name) == ["begun 0"])
    await cluster.stop_worker(worker)
    await within(run.send_event(Go()))
    await cluster.add_worker(Told)
    assert await within(run) == "gone"


def keyed(key: str | None) -> RunOptions:
    return RunOptions(fairness_key=key)


async def held_back(cluster: Stage, runs: list[tuple[str, RunOptions]]) -> str:
    """In which order runs have their turns that all have waited for the same one."""
    flow, name = cluster.flow(Noted, num_concurrent_runs=1), cluster.settings.namespace
    await all_begun(cluster, flow, [("_", NORMAL), *runs])
    await cluster.add_worker(Noted, num_concurrent_runs=1)
    return (await begun(name, 1 + len(runs)))[1:]


async def test_of_many_runs_of_one_key_and_few_of_others_each_key_is_next_in_its_turn(cluster: Stage) -> None:
    runs = [("a", keyed("a"))] * 5 + [("b", keyed("b"))] * 2 + [("c", keyed("c"))] + [("-", keyed(None))] * 3
    assert await held_back(cluster, runs) == "abc-ab-a-aa"


async def test_runs_without_keys_have_their_turns_in_the_order_of_their_arrival(cluster: Stage) -> None:
    assert await held_back(cluster, [(one, NORMAL) for one in "123456"]) == "123456"


async def test_of_runs_that_wait_those_with_priority_have_their_turns_four_times_as_often(cluster: Stage) -> None:
    runs = [("l", LOW)] * 2 + [("n", NORMAL)] * 6 + [("h", HIGH)] * 9
    assert await held_back(cluster, runs) == "hhhnhhhhnhhnlnnnl"


async def test_who_has_cancelled_what_waited_is_not_put_behind_for_it(cluster: Stage) -> None:
    flow, name = cluster.flow(Noted, num_concurrent_runs=1), cluster.settings.namespace
    await all_begun(cluster, flow, [("_", NORMAL)] + [("a", keyed("a"))] * 6 + [("b", keyed("b"))] * 4)
    broker = (await home_of(cluster.settings)).broker
    for number in range(1, 7):
        await broker.runs.cancel(f"r{number}")  # pyright: ignore[reportArgumentType]
    flow.run(name=name, what="a", run_id="late", run_options=keyed("a"))
    await until_there(cluster, "late")
    await cluster.add_worker(Noted, num_concurrent_runs=1)
    assert await begun(name, 6) == "_babbb"
    assert (await Inspector(broker).run("late")).fairness_key == "a"


async def test_whatever_way_a_run_is_done_again_it_keeps_its_key_and_its_tags(cluster: Stage) -> None:
    flow = await cluster.put_on(Noted, num_concurrent_runs=1)
    given = RunOptions(fairness_key="a", tags={"n": "1"}, priority="high")
    run = flow.run(name=cluster.settings.namespace, what="a", run_options=given)
    await within(run)
    broker = (await home_of(cluster.settings)).broker
    step = (await Inspector(broker).steps(run.run_id))[0].step
    for again in (await rerun(broker, run.run_id), await rerun(broker, run.run_id, from_step=step)):
        view = await shown(cluster, again)
        assert RunOptions(fairness_key=view.fairness_key, tags=view.tags, priority=view.priority) == given
        await within(flow.attach(again))


async def test_a_key_is_refused_where_nobody_waits_for_a_turn(cluster: Stage) -> None:
    flow = await cluster.put_on(Noted)
    with pytest.raises(RunOptionError, match="has no num_concurrent_runs"):
        await within(flow.run(name="n", what="w", run_options=keyed("a")))


async def test_a_run_of_this_process_may_have_a_priority_too(alone: Stage) -> None:
    flow, name = await alone.put_on(Noted), alone.settings.namespace
    await within(flow.run(name=name, what="h", run_options=HIGH))
    assert probe.marks(name) == ["h"]
