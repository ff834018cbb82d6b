"""What the routes stand on: the workflows whose code the process has, and its connection to the namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from broker_wf.home import Home
from broker_wf.settings import Settings
from broker_wf.workflow import Workflow


class Host(Protocol):
    """Who serves the routes."""

    @property
    def workflows(self) -> Mapping[str, Workflow]:
        """Those that can be started and answered here, by name; others can be looked at and cancelled all the same."""
        ...

    @property
    def settings(self) -> Settings:
        """Of the namespace in which runs are started."""
        ...

    @property
    def draining(self) -> asyncio.Event:
        """Set when the server is about to stop: streams are dropped then, and asked for again elsewhere."""
        ...

    async def home(self) -> Home:
        """The connection of the running event loop.

        Raises:
            ServerUnreachableError, ServerRefusedError: there is none.
        """
        ...
