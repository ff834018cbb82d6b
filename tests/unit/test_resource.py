from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from broker_wf.resource import (
    Resource,
    ResourceConfig,
    ResourceDescriptor,
    ResourceManager,
    descriptor_in,
    worker_resources,
)


class Client:
    def __init__(self) -> None:
        self.is_open = True


def get_client() -> Client:
    return Client()


async def get_client_async() -> Client:
    await asyncio.sleep(0)
    return Client()


def get_pair(
    one: Annotated[Client, Resource(get_client)], other: Annotated[Client, Resource(get_client_async)], plain: int = 1
) -> tuple[Client, Client, int]:
    return one, other, plain


class Limits(BaseModel):
    size: int


@pytest.fixture
def manager() -> ResourceManager:
    return ResourceManager()


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "limits.json"
    path.write_text('{"size": 3, "deep": {"er": {"size": 4}, "flat": 1}}')
    return str(path)


@pytest.mark.parametrize("factory", [get_client, get_client_async])
async def test_a_cached_resource_is_made_once_by_either_kind_of_factory(factory: Any, manager: ResourceManager) -> None:
    first, second = await asyncio.gather(manager.get(Resource(factory)), manager.get(Resource(factory)))
    assert isinstance(first, Client)
    assert first is second
    assert manager.get_all() == {factory.__qualname__: first}


async def test_a_resource_gets_the_resources_it_needs(manager: ResourceManager) -> None:
    one, other, plain = await manager.get(Resource(get_pair))
    assert one is await manager.get(Resource(get_client))
    assert isinstance(other, Client)
    assert plain == 1


async def test_what_is_not_cached_is_made_once_for_each_execution(manager: ResourceManager) -> None:
    resource = Resource(get_client, cache=False)
    async with manager.resolution_scope():
        first = await manager.get(resource)
        assert await manager.get(resource) is first
    async with manager.resolution_scope():
        assert await manager.get(resource) is not first
    assert manager.get_all() == {}


async def test_executions_side_by_side_do_not_share_what_is_not_cached(manager: ResourceManager) -> None:
    async def execute() -> Client:
        async with manager.resolution_scope():
            first = await manager.get(Resource(get_client_async, cache=False))
            assert await manager.get(Resource(get_client_async, cache=False)) is first
            return first

    first, second = await asyncio.gather(execute(), execute())
    assert first is not second


SINGLE = Resource(get_client, cache=False)


def get_through(client: Annotated[Client, SINGLE]) -> Client:
    return client


def get_both(a: Annotated[Client, Resource(get_through)], b: Annotated[Client, SINGLE]) -> tuple[Client, Client]:
    return a, b


@pytest.mark.parametrize("cache", [True, False])
async def test_within_one_graph_what_is_not_cached_is_shared(cache: bool, manager: ResourceManager) -> None:
    one, other = await manager.get(Resource(get_both, cache=cache))
    assert one is other


async def test_a_given_resource_is_not_made(manager: ResourceManager) -> None:
    await manager.set("get_client", "given")
    assert await manager.get(Resource(get_client)) == "given"


async def test_two_factories_of_one_name_are_kept_apart(manager: ResourceManager) -> None:
    one, two = Resource(lambda: 1), Resource(lambda: 2)
    assert (await manager.get(one), await manager.get(two), await manager.get(one)) == (1, 2, 1)
    assert len(manager.get_all()) == 2


async def test_a_circle_is_refused_before_anything_is_made(manager: ResourceManager) -> None:
    made: list[str] = []

    def a(b: Any) -> int:
        made.append("a")
        return b

    def b(a: Any) -> int:
        made.append("b")
        return a

    a.__qualname__, b.__qualname__ = "a", "b"
    b.__annotations__["a"] = Annotated[int, Resource(a)]
    a.__annotations__["b"] = Annotated[int, Resource(b)]
    with pytest.raises(ValueError, match=r"^Circular resource dependency detected: a -> b -> a$"):
        await manager.get(Resource(a))
    assert made == []


async def test_a_circle_that_only_resolving_shows_is_refused(manager: ResourceManager) -> None:
    class Own:
        name = "own"
        cache = True

        async def resolve(self, manager: ResourceManager) -> Any:
            return await manager.get(self)

        def set_type_annotation(self, type_annotation: Any) -> None: ...

        def set_localns(self, localns: dict[str, Any] | None) -> None: ...

        def get_dependencies(self) -> list[tuple[str, ResourceDescriptor, Any]]:
            return []

    with pytest.raises(ValueError, match=r"own -> own"):
        await manager.get(Own())


async def test_a_factory_that_raises_is_tried_again_next_time(manager: ResourceManager) -> None:
    outcomes: list[Any] = [OSError("down"), "up"]

    def flaky() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(OSError, match=r"down"):
        await manager.get(Resource(flaky))
    assert await manager.get(Resource(flaky)) == "up"


def opened() -> Iterator[Client]:
    client = Client()
    yield client
    client.is_open = False


async def opened_async() -> AsyncIterator[Client]:
    client = Client()
    yield client
    client.is_open = False


@pytest.mark.parametrize("factory", [opened, opened_async])
async def test_the_generator_of_a_cached_resource_is_resumed_at_close(factory: Any, manager: ResourceManager) -> None:
    async with manager.resolution_scope():
        client = await manager.get(Resource(factory))
    assert client.is_open
    await manager.close()
    assert not client.is_open
    assert manager.get_all() == {}


@pytest.mark.parametrize("factory", [opened, opened_async])
async def test_a_generator_that_is_not_cached_is_resumed_after_the_execution(
    factory: Any, manager: ResourceManager
) -> None:
    clients: list[Client] = []

    async def fail() -> None:
        async with manager.resolution_scope():
            clients.append(await manager.get(Resource(factory, cache=False)))
            assert clients[0].is_open
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert not clients[0].is_open


def get_holder(client: Annotated[Client, Resource(opened, cache=False)]) -> Client:
    return client


async def test_what_a_cached_resource_needs_lives_as_long_as_it(manager: ResourceManager) -> None:
    async with manager.resolution_scope():
        short = await manager.get(Resource(opened, cache=False))
        client = await manager.get(Resource(get_holder))
    assert client.is_open
    assert not short.is_open
    await manager.close()
    assert not client.is_open


async def test_outside_an_execution_a_generator_is_resumed_at_close(manager: ResourceManager) -> None:
    client = await manager.get(Resource(opened, cache=False))
    assert client.is_open
    await manager.close()
    assert not client.is_open


async def test_a_worker_resource_is_shared_by_all_managers_of_the_process() -> None:
    resource = Resource(opened, scope="worker")
    first = await ResourceManager().get(resource)
    assert await ResourceManager().get(resource) is first
    await worker_resources.close()
    assert not first.is_open


def test_a_cached_resource_can_be_made_under_one_event_loop_after_another(manager: ResourceManager) -> None:
    first = asyncio.run(manager.get(Resource(get_client_async)))
    assert asyncio.run(manager.get(Resource(get_client_async))) is first
    assert isinstance(asyncio.run(manager.get(Resource(get_client))), Client)


async def test_a_config_is_read_into_the_annotated_model(config: str, manager: ResourceManager) -> None:
    def sized(
        whole: Annotated[Limits, ResourceConfig(config)], part: Annotated[Limits, ResourceConfig(config, "deep.er")]
    ) -> tuple[Limits, Limits]:
        return whole, part

    sized.__annotations__["whole"] = Annotated[Limits, ResourceConfig(config)]
    sized.__annotations__["part"] = Annotated[Limits, ResourceConfig(config, "deep.er")]
    assert await manager.get(Resource(sized)) == (Limits(size=3), Limits(size=4))


def test_a_config_that_is_no_json_file_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Only JSON files"):
        ResourceConfig("limits.yaml")


def test_a_config_file_is_looked_up_on_first_use() -> None:
    resource = ResourceConfig("nowhere.json")
    with pytest.raises(FileNotFoundError, match=r"^No such file: nowhere\.json$"):
        resource.call()


@pytest.mark.parametrize("path", ["size", "deep.flat", "deep.no"])
def test_a_selector_must_lead_to_a_dictionary(config: str, path: str) -> None:
    with pytest.raises(ValueError, match=f"Expected dictionary for configuration from .* at path {path}, got: "):
        ResourceConfig(config, path).call()


def test_a_config_without_a_model_is_refused(config: str) -> None:
    with pytest.raises(ValueError, match=r"Class factory"):
        ResourceConfig(config).call()


def test_a_resource_is_found_in_annotated_only() -> None:
    resource = Resource(get_client)
    assert descriptor_in(Annotated[Client, "note", resource]) is resource
    assert descriptor_in(Annotated[Client, "note"]) is None
    assert descriptor_in(Client) is None


def get_by_name(client: Annotated[Unknown, Resource(get_client)]) -> Client:  # noqa: F821 # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]
    return client


async def test_annotations_that_cannot_be_resolved_name_no_resource(manager: ResourceManager) -> None:
    with pytest.raises(TypeError):
        await manager.get(Resource(get_by_name))


class Factory:
    def __call__(self, client: Annotated[Client, Resource(get_client)]) -> Client:
        return client


async def test_a_callable_object_and_a_class_may_be_factories(manager: ResourceManager) -> None:
    assert isinstance(await manager.get(Resource(Factory())), Client)
    assert isinstance(await manager.get(Resource(Client)), Client)
