"""API.md section 9: resources of ours and of the original give the same answers.

Each probe is a function of the module of resources ``r`` and a directory with files; both sides are asked.
"""

# pyright: reportInvalidTypeForm=false

import asyncio
import importlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from pydantic import BaseModel


class Limits(BaseModel):
    n: int


class Client:
    pass


class Called:
    def __call__(self) -> str:
        return "called"


def make() -> object:
    return object()


async def make_later() -> str:
    return "later"


def fail() -> None:
    raise KeyError("as ordered")


def needs(r: ModuleType) -> Callable[..., object]:
    def outer(text: Annotated[str, r.Resource(make_later)], times: int = 2) -> str:
        return text * times

    return outer


def circle(r: ModuleType) -> Callable[..., object]:
    def first(x: int) -> int:
        return x

    def second(x: Annotated[int, r.Resource(first)]) -> int:
        return x

    first.__annotations__["x"] = Annotated[int, r.Resource(second)]
    return first


async def twice(r: ModuleType, resource: Any) -> object:
    manager = r.ResourceManager()
    return await manager.get(resource) is await manager.get(resource), list(manager.get_all())


async def read(r: ModuleType, directory: Path, *arguments: str, file: str = "good.json") -> object:
    config = r.ResourceConfig(str(directory / file), *arguments)
    config.set_type_annotation(Limits)
    return await r.ResourceManager().get(config)


async def given(r: ModuleType) -> object:
    manager = r.ResourceManager()
    await manager.set("make", 7)
    return await manager.get(r.Resource(make)), manager.get_all()


PROBES: dict[str, Callable[[ModuleType, Path], Any]] = {
    "a cached one": lambda r, d: twice(r, r.Resource(make)),
    "one that is not cached": lambda r, d: twice(r, r.Resource(make, cache=False)),
    "an async factory": lambda r, d: r.ResourceManager().get(r.Resource(make_later)),
    "a class": lambda r, d: r.ResourceManager().get(r.Resource(Client)),
    "an object that is called": lambda r, d: r.ResourceManager().get(r.Resource(Called())),
    "names": lambda r, d: [r.Resource(x).name for x in (make, Called(), Client)],
    "one that needs another": lambda r, d: r.ResourceManager().get(r.Resource(needs(r))),
    "what it needs": lambda r, d: [(n, t) for n, _, t in r.Resource(needs(r)).get_dependencies()],
    "a factory that fails": lambda r, d: r.ResourceManager().get(r.Resource(fail)),
    "a circle": lambda r, d: r.ResourceManager().get(r.Resource(circle(r))),
    "one that is given": lambda r, d: given(r),
    "descriptors": lambda r, d: isinstance(r.ResourceConfig("a.json"), r.ResourceDescriptor),
    "a file": lambda r, d: read(r, d),
    "a part of a file": lambda r, d: read(r, d, "deep.er"),
    "a part that is not there": lambda r, d: read(r, d, "deep.no"),
    "a part that is no dictionary": lambda r, d: read(r, d, "n"),
    "a part below what is no dictionary": lambda r, d: read(r, d, "list.0"),
    "a part the model refuses": lambda r, d: read(r, d, "deep"),
    "a file that is not there": lambda r, d: read(r, d, file="none.json"),
    "a file that is no JSON": lambda r, d: read(r, d, file="bad.json"),
    "a file of another kind": lambda r, d: r.ResourceConfig("a.yaml"),
    "a file without a model": lambda r, d: r.ResourceManager().get(r.ResourceConfig(str(d / "good.json"))),
    "its path": lambda r, d: r.ResourceConfig(str(d / "good.json")).config_file,
    "its names": lambda r, d: [getattr(r.ResourceConfig("a.json", "b.c", "l", "d"), n) for n in ("name", "label")],
}
BETTER = {"an object that is called": "the original refuses it although it gives it a name"}


def answer(root: str, name: str, directory: Path) -> str:
    async def ask() -> object:
        found = PROBES[name](importlib.import_module(f"{root}.resource"), directory)
        return await found if inspect.isawaitable(found) else found

    try:
        text = repr(asyncio.run(ask()))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
    return re.sub(r"0x[0-9a-f]+", "", text)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "good.json").write_text(json.dumps({"n": 5, "deep": {"er": {"n": 1}}, "list": [1]}))
    (tmp_path / "bad.json").write_text("{")
    return tmp_path


@pytest.mark.parametrize("name", [name for name in PROBES if name not in BETTER])
def test_a_resource_answers_as_the_originals_does(name: str, directory: Path) -> None:
    assert answer("broker_wf", name, directory) == answer("workflows", name, directory)


@pytest.mark.parametrize("name", BETTER)
def test_an_answer_about_resources_that_is_said_to_be_better_is_another(name: str, directory: Path) -> None:
    assert answer("broker_wf", name, directory) != answer("workflows", name, directory)
