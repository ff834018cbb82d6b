"""Which classes travel besides the events of the steps: what agents keep in their state and put into events."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from pydantic import BaseModel
from workflows.events import Event

from broker_wf.integrations.llama_index.events import is_event_class
from broker_wf.wire.known import values_defined_in

_VOUCHED_FOR = (
    "llama_index.core.agent.react.types",
    "llama_index.core.agent.workflow.workflow_events",
    "llama_index.core.base.llms.types",
    "llama_index.core.base.response.schema",
    "llama_index.core.llms.llm",
    "llama_index.core.memory.chat_memory_buffer",
    "llama_index.core.memory.chat_summary_memory_buffer",
    "llama_index.core.memory.simple_composable_memory",
    "llama_index.core.schema",
    "llama_index.core.storage.chat_store.simple_chat_store",
    "llama_index.core.tools.types",
)
"""Modules of llama-index-core whose models are values. They are looked at where they are loaded, and never imported."""

_NO_VALUES = {
    "llama_index.core.memory.memory": (
        "Memory",
        "its messages are in an SQL store that each process would have for itself; use a ChatMemoryBuffer",
    ),
}
_LIBRARIES = ("workflows", "llama_index", "pydantic", "builtins")


def their_events_in(modules: Iterable[str]) -> list[type[Event]]:
    """Event classes of theirs that the modules define or import: some are only ever published."""
    found = {cls: None for name in sorted(modules) for cls in _classes_of(name) if is_event_class(cls)}
    return [cast("type[Event]", cls) for cls in found]


def models_of_agents() -> list[type]:
    """The models of llama-index-core that may stand behind ``Any``: messages, tool outputs, memories, nodes."""
    return [
        cls
        for name in _VOUCHED_FOR
        for cls in _classes_of(name)
        if issubclass(cls, BaseModel) and cls.__module__ == name
    ]


def refused_of_agents() -> Iterator[tuple[type, str]]:
    """Classes of llama-index-core whose values would arrive without what they hold, and why."""
    for module, (name, why) in _NO_VALUES.items():
        yield from ((cls, why) for cls in _classes_of(module) if cls.__name__ == name)


def own_values_in(modules: Iterable[str]) -> list[type]:
    """Models, dataclasses and enums that the workflow's own modules define: its state may hold them behind ``Any``."""
    return values_defined_in(name for name in modules if name.partition(".")[0] not in _LIBRARIES)


def _classes_of(module: str) -> Iterator[type]:
    names: Mapping[str, object] = vars(sys.modules[module]) if module in sys.modules else {}
    yield from (value for value in list(names.values()) if isinstance(value, type))
