"""Tasks that serve everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import TypeVar

T = TypeVar("T")


def begin_apart(what: Coroutine[object, object, T], context: Context | None = None) -> asyncio.Task[T]:
    """Begin a task that inherits no context variable of who begins it, but those of a context, if one is given.

    Whoever finds work may be in the middle of a step; what that step has set, and the log it writes to, are no
    business of what is begun for others.
    """
    return (context or Context()).run(asyncio.get_running_loop().create_task, what)
