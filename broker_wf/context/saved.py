"""A context written down: the dict that ``Context.to_dict`` gives and ``Context.from_dict`` takes."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from pydantic import BaseModel

from broker_wf.context.state_store import InMemoryStateStore, read_state
from broker_wf.errors import ContextSerdeError

VERSION = 2
"""That of the original's contexts, whose state and flags this library reads too."""


class Writer(Protocol):
    """A serializer, as far as it is needed here."""

    def serialize(self, value: Any) -> str:
        """Encode. Raises ValueError where there is no encoding."""
        ...

    def deserialize(self, value: str) -> Any:
        """Decode. Raises ValueError for text that is no encoding."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRun:
    """A run that was going on, for the store that can resume it.

    Attributes:
        content: what the run is made of; bytes to everybody else.
        workers: for people: step -> what it has to do, by kind.
        elapsed_s: how much of its time the run had used.
    """

    content: bytes
    workers: Mapping[str, Mapping[str, list[str]]]
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A context that was written down.

    Attributes:
        state: None if it was left out.
        run: of a context whose run was going on.
    """

    state: BaseModel | None = None
    run: SavedRun | None = None
    source: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_running(self) -> bool:
        """Whether a run with this context goes on where the saved one was."""
        return self.run is not None


def written(state: BaseModel | None, run: SavedRun | None, writer: Writer) -> dict[str, Any]:
    """Write a context down.

    Args:
        state: None: it is left out.

    Raises:
        ValueError: a value of the state has no encoding.
    """
    made: dict[str, Any] = {
        "version": VERSION,
        "state": {} if state is None else InMemoryStateStore(state).to_dict(writer),
        "is_running": run is not None,
        "workers": {} if run is None else {step: dict(kinds) for step, kinds in run.workers.items()},
        "elapsed_alive": 0.0 if run is None else run.elapsed_s,
    }
    if run is not None:
        made["run"] = base64.b64encode(zlib.compress(run.content, 1)).decode()
    return made


def read(data: object, state_type: type[BaseModel], reader: Writer) -> Saved:
    """Read what ``written`` made, or the state that the original wrote.

    Raises:
        ContextSerdeError: it is of a newer version, or malformed; says where.
    """
    if not isinstance(data, dict):
        raise ContextSerdeError(f"A saved context is a dict, not {type(data).__name__}: give what to_dict() returned")
    fields = cast("dict[str, Any]", data)
    version = fields.get("version", 1)
    if not isinstance(version, int) or version > VERSION:
        raise ContextSerdeError(
            f"Context dict specified in an invalid format: Cannot load serialized workflow context with "
            f"version={version!r}; this library supports up to version {VERSION}. It was likely written by a newer one."
        )
    return Saved(state=_state(fields.get("state"), state_type, reader), run=_run(fields), source=fields)


def _run(fields: dict[str, Any]) -> SavedRun | None:
    if not fields.get("is_running"):
        return None
    text = fields.get("run")
    if not isinstance(text, str):
        raise ContextSerdeError(
            "'is_running' is set and there is no 'run': the context of a run of another engine cannot be resumed here, "
            "nor one without what to_dict() wrote under 'run'"
        )
    try:
        content = zlib.decompress(base64.b64decode(text, validate=True))
        elapsed_s = float(fields.get("elapsed_alive", 0.0))
    except (binascii.Error, zlib.error, ValueError, TypeError) as error:
        raise ContextSerdeError(f"'run' or 'elapsed_alive' of the saved context was damaged: {error}") from error
    return SavedRun(content=content, workers=fields.get("workers") or {}, elapsed_s=elapsed_s)


def _state(payload: object, state_type: type[BaseModel], reader: Writer) -> BaseModel | None:
    if payload is None or payload == {}:
        return None
    try:
        state = read_state(cast("dict[str, Any]", payload), reader, state_type)
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ContextSerdeError(f"'state' of the saved context cannot be read: {error}") from error
    if not isinstance(state, state_type):
        raise ContextSerdeError(
            f"'state' of the saved context is a {type(state).__name__}; this workflow's is a {state_type.__name__}"
        )
    return state
