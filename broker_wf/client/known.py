"""A workflow as its workers have registered it: who takes which events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.broker import Broker
from broker_wf.client.failures import WorkflowNotFoundError
from broker_wf.core.ids import Digest, EventName, StepName, WorkflowName
from broker_wf.core.routing import Route, SlotRoute
from broker_wf.errors import WorkflowRuntimeError, without_password
from broker_wf.inspector.history import record_of_map
from broker_wf.inspector.records import record_of
from broker_wf.inspector.replies import text


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The facts of a workflow in the version that its workers have now."""

    digest: Digest
    facts: Mapping[str, object]

    @property
    def start(self) -> EventName:
        """The wire's name of its start event."""
        return EventName(text(self.facts["start"]))

    def number(self, name: str) -> int:
        """A fact that is a number; 0: it is not known."""
        return cast(int, self.facts.get(name, 0))

    def start_route(self) -> Route:
        """Who takes the start event."""
        found = self.route(self.start, None)
        to = tuple(StepName(text(one)) for one in cast("list[object]", self.facts["start_to"]))
        limits = {step: places for step, places in self._places().items() if step in to}
        return Route(name=self.start, to=to, slots=found.slots, into=found.into, limits=limits)

    def route(self, name: str, target: str | None) -> Route:
        """Who takes an event that is sent by call: by its very class.

        Raises:
            WorkflowRuntimeError: the target does not exist, or does not take such events.
        """
        wire = self._wire_name(name)
        steps = [one for one in self._steps() if target in (None, text(one["name"]))]
        if target is not None and not steps:
            raise WorkflowRuntimeError(f"Step {target} does not exist")
        to, slots, into = list[StepName](), list[SlotRoute](), list[StepName]()
        for step in steps:
            groups, its_name = _groups(step), StepName(text(step["name"]))
            index = next((number for number, names in enumerate(groups, 1) if wire in names), 0)
            if index == 0:
                continue
            match text(step["intake"]):
                case "single":
                    to.append(its_name)
                case "slots":
                    slots.append(SlotRoute(step=its_name, index=index, count=len(groups), event=groups[0][0]))
                case _:
                    into.append(its_name)
        if target is not None and not (to or slots):
            raise WorkflowRuntimeError(f"Step {target} does not accept event of type {name}")
        return Route(
            name=wire,
            to=tuple(to),
            slots=tuple(slots),
            into=tuple(into),
            limits={step: places for step, places in self._places().items() if step in to},
            lost=None if to or slots else (name, wire),
            only=None if target is None else StepName(target),
        )

    def _wire_name(self, name: str) -> EventName:
        """The name under which the workflow knows a class, which is longer where two share theirs."""
        all_names = {one for step in self._steps() for group in _groups(step) for one in group}
        longer = sorted(one for one in all_names if one.endswith(f".{name}"))
        return EventName(name) if name in all_names or len(longer) != 1 else longer[0]

    def _places(self) -> dict[StepName, int]:
        found = {StepName(text(step["name"])): cast(int, step["num_workers"]) for step in self._steps()}
        return {name: places for name, places in found.items() if places}

    def _steps(self) -> list[dict[str, object]]:
        return [record_of_map(one) for one in cast("list[object]", self.facts["steps"])]


def _groups(step: Mapping[str, object]) -> list[list[EventName]]:
    return [[EventName(text(name)) for name in group] for group in cast("list[list[object]]", step["takes"])]


async def known_workflow(broker: Broker, name: str) -> Known:
    """What is known of a workflow.

    Raises:
        WorkflowNotFoundError: nothing.
    """
    found = await broker.roster.definition(WorkflowName(name))
    if found is None or not found[1]:
        where = f"namespace {broker.keys.namespace!r} at {without_password(broker.url)}"
        raise WorkflowNotFoundError(name, where, tuple(await broker.roster.workflows()))
    return Known(digest=found[0], facts=record_of(found[1]))
