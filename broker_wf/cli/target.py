"""MODULE:ATTR to workflows, with every fault of every target told at once."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeVar, cast

from broker_wf.cli.failures import CANNOT_IMPORT, CommandError, Failure
from broker_wf.errors import WorkflowConfigurationError, WorkflowValidationError
from broker_wf.workflow import Workflow

T = TypeVar("T")

_OWN_FOLDER = str(Path(__file__).resolve().parent)
_NAMES_SHOWN = 12


def load_targets(targets: Sequence[str]) -> list[Workflow]:
    """The workflows that the targets name, each once; the working directory is on the import path.

    Raises:
        CommandError: some cannot be loaded or are wrong; every fault is in it, and nothing was started.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    loading = _Loading()
    for target in targets:
        loading.add(target)
    if loading.failures:
        raise CommandError(*loading.failures)
    return loading.workflows


@dataclass(slots=True)
class _Loading:
    workflows: list[Workflow] = field(default_factory=list[Workflow])
    failures: list[Failure] = field(default_factory=list[Failure])

    def add(self, target: str) -> None:
        """Load one target; what is wrong with it is noted."""
        module_name, _, path = target.partition(":")
        if not module_name or not path:
            self._fail(target, "it is not of the form MODULE:ATTR", "Write it like apps.hello.app:workflow.")
            return
        if module_name.endswith(".py") or "/" in module_name:
            dotted = module_name.removesuffix(".py").strip("./").replace("/", ".")
            self._fail(target, "MODULE is a path, and must be a name", f"Write {dotted}:{path}.")
            return
        module = self._import(target, module_name)
        if module is None:
            return
        found, missing = _attribute(module, path)
        if missing is not None:
            self._fail(target, missing, _what_there_is(module))
            return
        for value in cast("Iterable[object]", found) if isinstance(found, list | tuple) else (found,):
            self._take(target, value, module)

    def _fail(self, target: str, why: str, mend: str) -> None:
        self.failures.append(Failure(code=CANNOT_IMPORT, what=f"cannot load {target!r}", why=why, mend=mend))

    def _import(self, target: str, name: str) -> ModuleType | None:
        module, raised = _foreign(lambda: importlib.import_module(name))
        if raised is None:
            return module
        if isinstance(raised, ModuleNotFoundError) and _is_part_of(name, raised.name):
            cure = "Run the command in the folder that holds the module, or put that folder on PYTHONPATH."
            self._fail(target, f"there is no module {raised.name!r} on the import path", cure)
            return None
        why = f"{_place(raised)}{type(raised).__name__}: {raised}"
        self._fail(target, f"its module raised while it was imported: {why}", _cure_of(raised))
        return None

    def _take(self, target: str, value: object, module: ModuleType) -> None:
        if isinstance(value, type) and issubclass(value, Workflow):
            made, raised = _foreign(cast("type[Workflow]", value))
            if isinstance(raised, WorkflowValidationError | WorkflowConfigurationError):
                self._fail(target, str(raised), f"Mend the steps of {value.__name__}.")
                return
            if made is None:
                cure = f"Name an instance instead: workflow = {value.__name__}(…)."
                self._fail(target, f"{value.__name__}() raised {type(raised).__name__}: {raised}", cure)
                return
            value = made
        if not isinstance(value, Workflow):
            other = _is_of_llama_index(cast(object, value))
            why = "is a workflow of llama-index-workflows" if other else "is not a workflow"
            cure = _ADAPT if other else _what_there_is(module)
            self._fail(target, f"{_described(cast(object, value))} {why}", cure)
            return
        self._check(target, cast(Workflow, value))

    def _check(self, target: str, workflow: Workflow) -> None:
        _, raised = _foreign(lambda: (workflow.validate(), workflow.program()))
        if raised is not None:
            self._fail(target, f"{type(workflow).__name__} is wrong: {raised}", "Mend its steps.")
            return
        for other in self.workflows:
            if other.workflow_name != workflow.workflow_name:
                continue
            if other.spec.class_path != workflow.spec.class_path:
                ours, theirs = (one.spec.class_path.partition(":")[2] for one in (workflow, other))
                why = f"{ours} and {theirs} are both called {workflow.workflow_name!r}"
                self._fail(target, why, "Give one of them a workflow_name of its own.")
            return
        self.workflows.append(workflow)


def _foreign(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """Run code of the user: what it gave, or what it raised."""
    try:
        return function(), None
    except (Exception, SystemExit) as error:
        return None, error


_ADAPT = "Name what broker_wf.integrations.llama_index.distribute(workflow) gives; broker_wf serves that as it is."


def _is_of_llama_index(value: object) -> bool:
    """Whether it is a workflow, or a class of them, of the library that this one may not be installed with."""
    cls = value if isinstance(value, type) else type(value)
    return any((base.__module__, base.__name__) == ("workflows.workflow", "Workflow") for base in cls.__mro__)


def _described(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"an object of class {type(value).__name__}"


def _is_part_of(name: str, missing: str | None) -> bool:
    return missing is not None and (name == missing or name.startswith(f"{missing}."))


def _place(error: BaseException) -> str:
    """Where in the user's code it was raised: the last frame that is neither ours nor the import system's."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: "
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen", _OWN_FOLDER)) and frame.filename != importlib.__file__
    ]
    return f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""


def _cure_of(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"Install what provides {error.name!r} into {sys.prefix}, or mend the import."
    if isinstance(error, SystemExit):
        return "The module ends the process when it is imported; put that under if __name__ == '__main__'."
    return "Mend it; python -m MODULE shows the whole traceback."


def _attribute(module: ModuleType, path: str) -> tuple[object, str | None]:
    value: object = module
    for name in path.split("."):
        if not hasattr(value, name):
            owner = module.__name__ if value is module else type(value).__name__
            return None, f"{owner} has no attribute {name!r}"
        value = getattr(value, name)
    return value, None


def _what_there_is(module: ModuleType) -> str:
    """The workflows a module has, for whoever named something else."""
    names = [name for name, value in vars(module).items() if _is_target(value, module.__name__)]
    if not names:
        return f"{module.__name__} has no workflow at all: define one, as in workflow = MyWorkflow()."
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"In {module.__name__} there is: {shown}."


def _is_target(value: object, module: str) -> bool:
    if isinstance(value, type):
        return issubclass(value, Workflow) and value is not Workflow and value.__module__ == module
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return bool(items) and all(_is_target(item, module) for item in items)
    return isinstance(value, Workflow)
