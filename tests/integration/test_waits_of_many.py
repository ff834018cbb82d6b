"""Several deliveries of a run that wait: in fan-outs, for one event, in small windows."""

from __future__ import annotations

from broker_wf import Context, Workflow, step
from broker_wf.events import StartEvent, StopEvent
from tests.integration.stage import Stage, until, within
from tests.integration.waits import Hint, Other, Question, Reply, Seen, count, raw, told_to_go, waiting


class Crowd(Workflow):
    """Each item waits for the answer to its own number; the join gets them all."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Hint]:
        return [Hint(n=n) for n in range(ev.count)]

    @step(num_workers=1)
    async def ask(self, ctx: Context, ev: Hint) -> Seen:
        answer = await ctx.wait_for_event(Reply, waiter_event=Question(text=str(ev.n)), requirements={"user": ev.n})
        return Seen(n=ev.n, answer=answer.text)

    @step
    async def join(self, evs: list[Seen]) -> StopEvent:
        return StopEvent(result=sorted([one.n, one.answer] for one in evs))


async def test_parallel_deliveries_wait_apart_and_stay_members_of_their_fan_out(stage: Stage) -> None:
    run = (await stage.put_on(Crowd)).run(count=5)
    await waiting(stage, run, 5)
    for n in (3, 0, 4, 1, 2):
        await run.send_event(Reply(user=n, text=f"to {n}"))
    assert await within(run) == [[n, f"to {n}"] for n in range(5)]


async def test_an_event_starts_only_the_deliveries_that_it_is_for(stage: Stage) -> None:
    run = (await stage.put_on(Crowd)).run(count=5)
    await waiting(stage, run, 5)
    await run.send_event(Reply(user=3, text="three"))
    await run.send_event(Reply(user=7, text="nobody"))
    with raw(stage) as client:
        await until(lambda: client.hlen(stage.keys.of("done", run.run_id)) == 2)
    assert count(stage, "waiting", run.run_id) == 4
    await run.cancel_run()


async def test_deliveries_that_wait_take_no_room_in_the_window(cluster: Stage) -> None:
    cluster.change(dispatch_window=2)
    run = (await cluster.put_on(Crowd)).run(count=7)
    await waiting(cluster, run, 7)
    for n in range(7):
        await run.send_event(Reply(user=n, text=""))
    assert await within(run) == [[n, ""] for n in range(7)]


class Everyone(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Hint]:
        return [Hint(n=n) for n in range(4)]

    @step
    async def ask(self, ctx: Context, ev: Hint) -> Seen:
        return Seen(n=ev.n, answer=(await ctx.wait_for_event(Reply)).text)

    @step
    async def join(self, evs: list[Seen]) -> StopEvent:
        return StopEvent(result=[one.answer for one in evs])


async def test_one_event_is_the_answer_to_all_that_wait_for_it(stage: Stage) -> None:
    run = (await stage.put_on(Everyone)).run()
    await waiting(stage, run, 4)
    await run.send_event(Reply(text="all"))
    assert await within(run) == ["all"] * 4


class Both(Workflow):
    """``ask`` waits for what it also takes as its input, and so does ``other``."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent | Reply) -> StopEvent | None:
        if isinstance(ev, Reply):
            return StopEvent(result="got it twice")
        answer = await ctx.wait_for_event(Reply)
        await ctx.store.set("ask", answer.text)
        await ctx.store.set("go", True)
        return None

    @step
    async def other(self, ctx: Context, ev: Reply) -> StopEvent | None:
        await told_to_go(ctx.store)
        return StopEvent(result=[await ctx.store.get("ask"), ev.text])


async def test_a_step_whose_waiter_took_the_event_does_not_get_it_as_input_but_others_do(stage: Stage) -> None:
    run = (await stage.put_on(Both)).run()
    await waiting(stage, run)
    await run.send_event(Reply(text="one"))
    assert await within(run) == ["one", "one"]


class Stolen(Workflow):
    """The waiter takes one member of the fan-out; the others make up the batch."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> list[Hint]:
        return [Hint(n=0), Hint(n=1)]

    @step
    async def work(self, ctx: Context, ev: Hint | Reply) -> Seen | Reply:
        if isinstance(ev, Reply):
            return Seen(n=9, answer="was not stolen")
        if ev.n == 0:
            return Seen(n=0, answer=(await ctx.wait_for_event(Reply)).text)
        await told_to_go(ctx.store)
        return Reply(text="from a member")

    @step
    async def join(self, evs: list[Seen]) -> StopEvent:
        return StopEvent(result=[[one.n, one.answer] for one in evs])


async def test_an_event_returned_inside_a_fan_out_answers_and_its_branch_is_complete(stage: Stage) -> None:
    run = (await stage.put_on(Stolen)).run()
    await waiting(stage, run)
    assert run.ctx is not None
    await run.ctx.store.set("go", True)
    assert await within(run) == [[0, "from a member"]]


class Flood(Workflow):
    """A fan-out that is put down in parts, and one of its events is an answer."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Hint | None:
        ctx.send_event(Hint(n=599))
        return None

    @step
    async def ask(self, ctx: Context, ev: Hint) -> StopEvent:
        answer = await ctx.wait_for_event(Reply, requirements={"user": ev.n})
        return StopEvent(result=answer.text)

    @step
    async def flood(self, ctx: Context, ev: Other) -> list[Reply]:
        return [Reply(user=n, text=f"reply {n}") for n in range(600)]

    @step
    async def polite(self, ctx: Context, ev: Reply) -> None:
        await told_to_go(ctx.store)

    @step
    async def gather(self, evs: list[Seen]) -> StopEvent | None:
        return None


async def test_an_answer_among_many_events_of_one_step_is_found(cluster: Stage) -> None:
    run = (await cluster.put_on(Flood, disable_validation=True)).run()
    await waiting(cluster, run)
    await run.send_event(Other())
    assert await within(run) == "reply 599"


async def test_an_event_costs_what_it_answers_and_not_how_many_wait(cluster: Stage) -> None:
    run = (await cluster.put_on(Crowd)).run(count=200)
    await waiting(cluster, run, 200)
    with raw(cluster) as client:
        wanted = len(list(client.scan_iter(match=cluster.keys.of("wanted", run.run_id, "Reply", "*"))))
        client.config_resetstat()
        await run.send_event(Reply(user=100, text=""))
        facts = client.info("commandstats")
    assert wanted == 200
    assert facts["cmdstat_hgetall"]["calls"] < 20
    await run.cancel_run()
