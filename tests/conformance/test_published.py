"""The original's published examples, as programs: only the import root is changed.

What the documentation prints in a step comes from whichever process executes the step, so a program on workers prints
what its ``main`` prints and nothing else, and otherwise that, in this order, among other lines.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.pool import PATIENCE_S, worker_pool
from tests.conformance.translation import ROOT_OF_IMPORTS

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).with_name("published")
QUICK = {"BROKER_WF_LEASE_MS": "3000", "BROKER_WF_SWEEP_MS": "200", "BROKER_WF_HEARTBEAT_MS": "1000"}
SERVED = """
import importlib

from broker_wf import Workflow

workflows = [
    cls()
    for name in {names!r}
    for cls in vars(importlib.import_module("published." + name)).values()
    if isinstance(cls, type) and issubclass(cls, Workflow) and cls.__module__ == "published." + name
]
"""
JOKE = "Give a thorough analysis and critique of the following joke: <Write your best joke about pirates.>"

MOBY_DICK = ("Please", "give", "me", "the", "first", "3", "paragraphs", "of", "Moby", "Dick.")


@dataclass(frozen=True, slots=True)
class Example:
    """What a program prints, line by line as patterns, when a person types these lines."""

    prints: tuple[str, ...]
    typed: str = ""


EXAMPLES = {
    "readme": Example(
        (
            "Workflow result: Processed 1 times, data length: 13",
            "Workflow result: Processed 2 times, data length: 26",
        )
    ),
    "basic": Example((f"<{re.escape(JOKE)}>", "<dry whales>", "<wet whales>", "from a free function")),
    "streaming": Example(
        (
            "Step one is happening",
            *(f"{re.escape(word)} " for word in MOBY_DICK),
            "Step three is happening",
            r"Final result Workflow complete\.",
        )
    ),
    "branches": Example((r"Result: Workflow complete\.", r"Result: Branch [AB] complete\.")),
    "state": Example(
        (
            r"Result: \[1, 2, 3\]",
            "Result: 1",
            "Result: 2",
            "Result: new_name",
            "Result: newer_name some_value",
            "Result: newer_name",
        )
    ),
    "concurrent": Example(
        (
            "Result: Query [123]",
            "Result: Done",
            "Result: Query 3 Query 1 Query 2",
            r"Result: \['Query 1', 'Query 2', 'Query 3'\]",
            "Result: 2",
        )
    ),
    "human": Example(
        (
            "Enter a number: Final result: 42",
            "Enter a number: Final result: 43",
            r"Are you sure\? Final result: Laurie: yes",
        ),
        typed="42\n43\nyes\n",
    ),
    "resources": Example(("Result: Messages put into memory", r"Result: b 0\.5")),
    "retries": Example(
        (
            "Result: 4",
            "Result: 2 rate limit exceeded",
            "Result: second time",
            r"Result: parse failed: ValueError\('stale'\) after 2 attempts to fetch",
        )
    ),
    "testing": Example(
        (
            r"Result: hello, Ada \['GreetEvent', 'StopEvent'\]",
            "Result: 1 0",
            "Result: make_greeting",
            "Result: greet",
            "Result: hello, Bob",
        )
    ),
}
every_example = pytest.mark.parametrize("name", list(EXAMPLES))


def written(folder: Path, root: str) -> Path:
    """The examples with this import root, as a package; that of the original's README comes from what is installed."""
    package = folder / "published"
    package.mkdir(parents=True)
    readme = importlib.metadata.metadata("llama-index-workflows").get_payload()
    (shown,) = re.findall(r"```python\n(.*?)```", str(readme), re.DOTALL)
    sources = {path.stem: path.read_text() for path in HERE.glob("*.py")} | {"readme": shown}
    assert set(sources) == {*EXAMPLES, "stand_ins"}
    for name, source in sources.items():
        (package / f"{name}.py").write_text(ROOT_OF_IMPORTS.sub(rf"\1{root}", source))
    for path in HERE.glob("*.json"):
        shutil.copy(path, package)
    (package / "served.py").write_text(SERVED.format(names=list(EXAMPLES)))
    return folder


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the examples as they are."""
    return written(tmp_path_factory.mktemp("originals"), "workflows")


@pytest.fixture(scope="session")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the examples whose import root is changed."""
    return written(tmp_path_factory.mktemp("changed"), "broker_wf")


@pytest.fixture(scope="session")
def cluster_environment(changed: Path, server_url: str) -> Iterator[dict[str, str]]:
    """What a program needs to use two worker processes that serve all examples."""
    variables = {**QUICK, "BROKER_WF_URL": server_url, "BROKER_WF_NAMESPACE": f"p{uuid.uuid4().hex[:12]}"}
    namespace, environment = variables["BROKER_WF_NAMESPACE"], _environment(changed, variables)
    with worker_pool(server_url, namespace, changed, environment, "published.served:workflows"):
        yield variables


def _environment(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))), **variables}


async def printed(folder: Path, name: str, variables: dict[str, str]) -> list[str]:
    """The lines that the program prints."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"published.{name}"),
        cwd=folder,
        env=_environment(folder, variables),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(program.communicate(EXAMPLES[name].typed.encode()), PATIENCE_S)
    assert program.returncode == 0, err.decode()
    return out.decode().splitlines()


def has_in_order(lines: list[str], patterns: tuple[str, ...]) -> bool:
    """Whether there is a line for each pattern, in their order."""
    rest = iter(lines)
    return all(any(re.fullmatch(pattern, line) for line in rest) for pattern in patterns)


@every_example
async def test_the_original_runs_its_example(name: str, originals: Path) -> None:
    lines = await printed(originals, name, {})
    assert has_in_order(lines, EXAMPLES[name].prints), lines


@every_example
async def test_with_only_the_import_changed_it_runs_in_process(name: str, changed: Path, tmp_path: Path) -> None:
    lines = await printed(changed, name, {**QUICK, "BROKER_WF_DATA": str(tmp_path / "data")})
    assert has_in_order(lines, EXAMPLES[name].prints), lines


@every_example
async def test_with_only_the_import_changed_it_runs_on_two_worker_processes(
    name: str, changed: Path, cluster_environment: dict[str, str]
) -> None:
    lines = await printed(changed, name, cluster_environment)
    assert len(lines) == len(EXAMPLES[name].prints), lines
    assert has_in_order(lines, EXAMPLES[name].prints), lines
