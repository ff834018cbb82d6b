"""Scenarios are written against the original; the same source with another import root is the one for this library."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.conformance.play import Play

HERE = Path(__file__).parent / "scenarios"
PACKAGE = "translated_scenarios"
SERVED = "served"
ROOT_OF_IMPORTS = re.compile(r"^(\s*(?:from|import) )workflows\b", re.MULTILINE)
_SERVED = """
import importlib

import broker_wf
import workflows as original
from broker_wf.integrations.llama_index import distribute


def those_in(package, base):
    for name in {names!r}:
        for cls in vars(importlib.import_module(package + "." + name)).values():
            if isinstance(cls, type) and issubclass(cls, base) and cls.__module__ == package + "." + name:
                yield cls()


workflows = list(those_in("{package}", broker_wf.Workflow))
distributed = [distribute(one) for one in those_in("tests.conformance.scenarios", original.Workflow)]
"""

Scenario = Callable[[Play], Awaitable[None]]


def topics() -> list[str]:
    """Names of the modules that hold scenarios."""
    return sorted(path.stem for path in HERE.glob("*.py"))


def translate(target: Path) -> None:
    """Write every scenario with only its import root changed, and a module that lists their workflows."""
    package = target / PACKAGE
    package.mkdir()
    for topic in topics():
        source = (HERE / f"{topic}.py").read_text()
        (package / f"{topic}.py").write_text(ROOT_OF_IMPORTS.sub(r"\1broker_wf", source))
    (package / f"{SERVED}.py").write_text(_SERVED.format(names=topics(), package=PACKAGE))
    sys.path.append(str(target))


@dataclass(frozen=True, slots=True)
class Part:
    """One scenario of one module."""

    topic: str
    name: str

    def original(self) -> Scenario:
        return getattr(_module(f"tests.conformance.scenarios.{self.topic}"), self.name)

    def translated(self) -> Scenario:
        return getattr(_module(f"{PACKAGE}.{self.topic}"), self.name)

    def __str__(self) -> str:
        return f"{self.topic}-{self.name}"


def parts() -> Iterator[Part]:
    """Every scenario there is: the public coroutines of the modules that take ``play``."""
    for topic in topics():
        source = (HERE / f"{topic}.py").read_text()
        for name in re.findall(r"^async def ([a-z]\w*)\(play: Play\)", source, re.MULTILINE):
            yield Part(topic, name)


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)
