"""What their code finds without being given it: the context of the step that executes."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from contextlib import contextmanager

from workflows import Context
from workflows.runtime.types.results import InternalContextVar  # pyright: ignore[reportMissingTypeStubs]


@contextmanager
def as_current(context: Context) -> Generator[None]:
    """What ``Context.get_step_context()`` of theirs gives within the block."""
    token = InternalContextVar.set(weakref.ref(context))
    try:
        yield
    finally:
        InternalContextVar.reset(token)
