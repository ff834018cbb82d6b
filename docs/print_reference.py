"""Print the public modules as Markdown: names, signatures and docstrings, from the code itself.

``python docs/print_reference.py`` writes ``docs/reference/``, a file for each module.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

MODULES = (
    "broker_wf",
    "broker_wf.events",
    "broker_wf.errors",
    "broker_wf.decorators",
    "broker_wf.workflow",
    "broker_wf.context",
    "broker_wf.context.serializers",
    "broker_wf.context.state_store",
    "broker_wf.handler",
    "broker_wf.retry_policy",
    "broker_wf.resource",
    "broker_wf.collect",
    "broker_wf.settings",
    "broker_wf.representation",
    "broker_wf.client",
    "broker_wf.testing",
    "broker_wf.types",
    "broker_wf.utils",
    "broker_wf.plugins",
)
HERE = Path(__file__).parent / "reference"


def reference() -> dict[str, str]:
    """The text of each file, by its name. A module that is not there yet has none."""
    found = {f"{name}.md": _module(importlib.import_module(name)) for name in MODULES if _exists(name)}
    links = "\n".join(f"- [{name.removesuffix('.md')}]({name})" for name in found)
    return {"README.md": f"# Reference\n\nPrinted from the code by `make reference`.\n\n{links}\n", **found}


def _exists(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _module(module: ModuleType) -> str:
    parts = [f"# {module.__name__}", inspect.getdoc(module) or ""]
    parts += [_entry(name, getattr(module, name), module.__name__) for name in _public(module)]
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def _public(module: ModuleType) -> list[str]:
    said = getattr(module, "__all__", None)
    if said is not None:
        return sorted(said)
    own = (n for n, v in vars(module).items() if not n.startswith("_") and _is_of(v, module.__name__))
    return sorted(own)


def _is_of(value: object, module: str) -> bool:
    return (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith(module)


def _entry(name: str, value: object, module: str) -> str:
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return f"## {name}"
    home = value.__module__
    if module == "broker_wf" and home in MODULES:
        return f"## {name}\n\nSee [{home}]({home}.md)."
    if inspect.isclass(value):
        return _class(name, value)
    return f"## {name}\n\n```python\n{_call(name, value)}\n```\n\n{_doc(value)}"


def _class(name: str, cls: type) -> str:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    parts = [f"## {name}", f"```python\nclass {name}{f'({bases})' if bases else ''}\n```", _doc(cls)]
    if not issubclass(cls, BaseException) or "__init__" in vars(cls):
        parts.insert(2, f"```python\n{_call(name, cls)}\n```")
    parts.append("\n".join(_fields(cls)))
    parts += [_member(name, member, value) for member, value in _members(cls)]
    return "\n\n".join(part for part in parts if part)


def _fields(cls: type) -> Iterator[str]:
    """Fields that say in a text of their own what they are."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError):
        return
    for field, text in pairwise(body.body if isinstance(body, ast.ClassDef) else ()):
        described = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and described and isinstance(text.value.value, str):
            yield f"- `{ast.unparse(field)}`: {' '.join(text.value.value.split())}"


def _members(cls: type) -> Iterator[tuple[str, object]]:
    fields = {f.name for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    for name, value in vars(cls).items():
        hidden = name.startswith("_") or name in fields or (issubclass(cls, BaseModel) and name.startswith("model_"))
        if not hidden and (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod))):
            yield name, value


def _member(owner: str, name: str, value: object) -> str:
    if isinstance(value, property):
        return f"### {owner}.{name}\n\nProperty. {_doc(value)}"
    function = getattr(value, "__func__", value)
    before = "async " if inspect.iscoroutinefunction(function) else ""
    return f"### {owner}.{name}\n\n```python\n{before}{_call(name, function)}\n```\n\n{_doc(function)}"


def _call(name: str, value: object) -> str:
    """The signature with the annotations as the code spells them, whatever version of Python prints it."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return f"{name}(…)"
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name not in ("self", "cls")]
    call = str(signature.replace(parameters=parameters, return_annotation=signature.empty))
    return name + re.sub(r"<(?:function |class ')?([\w.]+)[^<>]*>", _last_part, call)


def _last_part(found: re.Match[str]) -> str:
    return found.group(1).rpartition(".")[2]


def _doc(value: object) -> str:
    doc = vars(value).get("__doc__") if inspect.isclass(value) else getattr(value, "__doc__", None)
    text = inspect.cleandoc(doc) if doc else ""
    # What dataclasses write themselves differs between versions of Python.
    return "" if re.match(r"\w+\(.*\)$", text, flags=re.DOTALL) else text


def main() -> None:
    """Write the files, and remove those of modules that have gone."""
    HERE.mkdir(exist_ok=True)
    texts = reference()
    for old in HERE.glob("*.md"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (HERE / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {len(texts)} files to {HERE.name}/\n")


if __name__ == "__main__":
    main()
