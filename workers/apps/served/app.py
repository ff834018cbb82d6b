"""ModuleReport: what each of several modules says of itself, in parallel; a person is asked about what is no module.

    plan ─▶ read (once a module) ─▶ ask ─▶ summarise ─▶ the end

``broker-wf serve apps.served.app:workflow`` serves it, ``broker-wf worker apps.served.app:workflow`` executes it.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent

_parsing = threading.Lock()
"""CPython 3.11 counts the depth of all parsers of a process in one number (gh-106905): two threads fail at random."""


class Modules(StartEvent):
    """What to report on. The page makes a form of it."""

    names: list[str] = Field(default=["json", "heapq", "textwrap"], min_length=1, max_length=200)


class Wanted(Event):
    """A module to look at."""

    name: str


class Found(Event):
    """What a module says of itself; ``summary`` is empty where there is no such module."""

    name: str
    summary: str = ""
    functions: int = 0
    classes: int = 0


class Unknown(InputRequiredEvent):
    """Asks a person what to do about names that are no modules."""

    names: list[str]


class Decision(HumanResponseEvent):
    """``leave_out``: report on the others; else the run fails."""

    leave_out: bool


class Gathered(Event):
    """The modules to report on."""

    found: list[Found]


class Report(StopEvent):
    """One line a module, the largest first."""

    lines: list[str]


class ModuleReport(Workflow):
    """Reports on modules of the standard library, as their sources stand on the machine that reads them."""

    @step
    async def plan(self, ev: Modules) -> list[Wanted]:
        """One event a module; a name that is given twice is read once."""
        return [Wanted(name=name) for name in dict.fromkeys(ev.names)]

    @step(num_workers=8)
    async def read(self, ctx: Context, ev: Wanted) -> Found:
        """Read one source, on whichever worker is free."""
        ctx.write_event_to_stream(ev)
        return await asyncio.to_thread(look_at, ev.name)

    @step
    async def ask(self, ctx: Context, ev: list[Found]) -> Gathered:
        """Wait for a person, as long as it takes, if there is something to decide."""
        unknown = sorted(one.name for one in ev if not one.summary)
        if unknown:
            decision = await ctx.wait_for_event(Decision, waiter_event=Unknown(names=unknown))
            if not decision.leave_out:
                raise LookupError(f"no modules of the standard library: {', '.join(unknown)}")
        return Gathered(found=[one for one in ev if one.summary])

    @step
    async def summarise(self, ev: Gathered) -> Report:
        """The largest first."""
        ordered = sorted(ev.found, key=lambda one: (-one.functions - one.classes, one.name))
        return Report(lines=[f"{one.name}: {one.summary} ({_size(one)})" for one in ordered])


def look_at(name: str) -> Found:
    """What a module's source says, without importing it."""
    if name.partition(".")[0] not in sys.stdlib_module_names:
        return Found(name=name)
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return Found(name=name)
    if spec is None or spec.origin is None:
        return Found(name=name)
    if not spec.origin.endswith(".py"):
        return Found(name=name, summary="a module written in C")
    source = Path(spec.origin).read_text("utf-8")
    with _parsing:
        tree = ast.parse(source)
    said = (ast.get_docstring(tree) or "says nothing of itself").splitlines()[0]
    kinds = [type(node) for node in tree.body]
    functions = kinds.count(ast.FunctionDef) + kinds.count(ast.AsyncFunctionDef)
    return Found(name=name, summary=said, functions=functions, classes=kinds.count(ast.ClassDef))


def _size(one: Found) -> str:
    return f"{one.functions} functions, {one.classes} classes"


workflow = ModuleReport(timeout=None, workflow_name="module-report")
