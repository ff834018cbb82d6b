"""Start events that are more than fields, from a client without their code: over HTTP and straight to Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ConfigDict, Field, model_validator

from broker_wf import Workflow, step
from broker_wf.client import AsyncClient, WorkflowNotFoundError
from broker_wf.errors import BrokerError
from broker_wf.events import StartEvent, StopEvent
from tests.integration.server.serving import HttpServer
from tests.integration.stage import Stage, within


class Frozen(StartEvent):
    model_config = ConfigDict(frozen=True)
    n: int
    tags: tuple[str, ...] = ()


class Aliased(StartEvent):
    customer_name: str = Field(alias="customerName")
    city: str = Field(default="", alias="town")


class ByBoth(StartEvent):
    model_config = ConfigDict(populate_by_name=True)
    customer_name: str = Field(alias="customerName")


class Checked(StartEvent):
    low: int
    high: int

    @model_validator(mode="after")
    def in_order(self) -> Checked:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class FrozenFlow(Workflow):
    @step
    async def go(self, ev: Frozen) -> StopEvent:
        return StopEvent(result=[ev.n, list(ev.tags)])


class AliasedFlow(Workflow):
    @step
    async def go(self, ev: Aliased) -> StopEvent:
        return StopEvent(result=[ev.customer_name, ev.city])


class ByBothFlow(Workflow):
    @step
    async def go(self, ev: ByBoth) -> StopEvent:
        return StopEvent(result=ev.customer_name)


class CheckedFlow(Workflow):
    @step
    async def go(self, ev: Checked) -> StopEvent:
        return StopEvent(result=ev.high - ev.low)


FLOWS = {
    "frozen": FrozenFlow,
    "aliased": AliasedFlow,
    "both": ByBothFlow,
    "checked": CheckedFlow,
}


@pytest_asyncio.fixture(params=["http", "redis"])
async def client(request: pytest.FixtureRequest, cluster: Stage) -> AsyncIterator[AsyncClient]:
    for name, cls in FLOWS.items():
        await cluster.add_worker(cls, workflow_name=name)
    flows = [cls(workflow_name=name, broker=cluster.settings) for name, cls in FLOWS.items()]
    async with HttpServer(cluster.settings, flows) as server:
        where = {} if request.param == "http" else {"namespace": cluster.settings.namespace}
        async with AsyncClient(server.url if request.param == "http" else cluster.url, **where) as one:
            yield one


@pytest.mark.parametrize(
    ("workflow", "given", "result"),
    [
        ("frozen", {"n": 3, "tags": ["a", "b"]}, [3, ["a", "b"]]),
        ("frozen", Frozen(n=3), [3, []]),
        ("aliased", {"customerName": "you", "town": "Ulm"}, ["you", "Ulm"]),
        ("aliased", Aliased(customerName="you", town="Ulm"), ["you", "Ulm"]),
        ("both", {"customerName": "you"}, "you"),
        ("both", {"customer_name": "you"}, "you"),
        ("both", ByBoth(customer_name="you"), "you"),
        ("checked", {"low": 1, "high": 3}, 2),
        ("checked", Checked(low=1, high=3), 2),
    ],
)
async def test_it_arrives_as_its_class_has_it(client: AsyncClient, workflow: str, given: Any, result: Any) -> None:
    assert await within(client.run(workflow, given)) == result


@pytest.mark.parametrize(
    ("workflow", "given", "why"),
    [
        ("frozen", {"n": "three"}, r"\bn\b.*valid integer"),
        ("frozen", {}, r"\bn\b.*[Ff]ield required"),
        ("aliased", {}, r"customerName.*[Ff]ield required"),
        ("checked", {"low": 3, "high": 1}, "low is above high"),
    ],
)
async def test_what_does_not_fit_is_refused_with_field_and_reason(
    client: AsyncClient, workflow: str, given: Any, why: str
) -> None:
    with pytest.raises(BrokerError, match=f"(?s){why}"):
        await within(client.run(workflow, given))


async def test_an_unknown_workflow_is_named_with_those_that_are_known(client: AsyncClient) -> None:
    with pytest.raises(WorkflowNotFoundError, match=r"'frosen' is not known to .*frozen.*Is the name right"):
        await client.submit("frosen", {"n": 1})
    assert (await client.runs()).runs == []
