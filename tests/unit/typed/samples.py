"""What type checkers must know of a typed workflow. Read by pyright; the functions never run."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from broker_wf import Workflow, step
from broker_wf.events import StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler


class Ask(StartEvent):
    question: str


class Answer(StopEvent):
    text: str


class Typed(Workflow[Ask, Answer]):
    @step
    async def answer(self, ev: Ask) -> Answer:
        return Answer(text=ev.question)


class Plain(Workflow):
    @step
    async def answer(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result="yes")


class Half(Workflow[Ask, StopEvent]):
    @step
    async def answer(self, ev: Ask) -> StopEvent:
        return StopEvent(result=ev.question)


async def typed_results() -> None:
    handler = Typed().run(start_event=Ask(question="?"))
    assert_type(handler, WorkflowHandler[Answer])
    assert_type(await handler, Answer)
    assert_type((await handler).text, str)
    assert_type(await handler.stop_event_result(), Answer)
    assert_type(Typed().start_event_class, type[Ask])
    assert_type(Typed().attach("id"), WorkflowHandler[Answer])


async def a_plain_stop_event_gives_its_result() -> None:
    assert_type(await Half().run(question="?"), Any)
    assert_type(await Half().run().stop_event_result(), StopEvent)


async def untyped_workflows_are_as_before() -> None:
    assert_type(await Plain().run(), Any)


def any_workflow(flow: Workflow) -> WorkflowHandler:
    return flow.run()


def typed_ones_go_where_any_workflow_goes() -> None:
    any_workflow(Typed())
    any_workflow(Plain())
