"""``WorkflowServer`` with the constructor and the methods of the original's, on this engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette

from broker_wf.configuration import current_settings
from broker_wf.events import Event
from broker_wf.server.app import app_of
from broker_wf.server.llama_index.routes import description
from broker_wf.server.options import ServerOptions
from broker_wf.server.service import Served, Service
from broker_wf.server.serving import server_for
from broker_wf.settings import Settings
from broker_wf.workflow import Workflow


class WorkflowServer:
    """Serves workflows over HTTP: drop-in for the class of llama-agents-server.

    Attributes:
        app: the ASGI app.
    """

    def __init__(
        self,
        *,
        middleware: Sequence[Any] | None = None,
        exception_handlers: Mapping[Any, Any] | None = None,
        workflow_store: object = None,
        persistence_backoff: Sequence[float] = (0.5, 3.0),
        runtime: object = None,
        idle_timeout: float = 60.0,
        sse_heartbeat_interval: float | None = 25.0,
        accept_context_api: bool = False,
        serializer: object = None,
        broker: Settings | str | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        """Take the original's arguments; those about stores and runtimes have nothing to do here: Redis is the store.

        Args:
            middleware: of Starlette, outside of our own.
            exception_handlers: of Starlette; they win over ours.
            broker: settings, or the URL; None: what ``configure()`` and the environment say.
            options: everything else; they win over the original's arguments.
        """
        chosen = options or ServerOptions(heartbeat_s=sse_heartbeat_interval, accept_context=accept_context_api)
        self._service = Service(settings=current_settings(broker), options=chosen)
        self._serializer = serializer
        self.app: Starlette = app_of(self._service)
        self.app.user_middleware[:0] = list(middleware or ())
        self.app.exception_handlers.update(exception_handlers or {})

    @property
    def serializer(self) -> object:
        """As given to the constructor."""
        return self._serializer

    @property
    def additional_events(self) -> Mapping[str, tuple[type[Event], ...]]:
        """Those that were given, by workflow."""
        return {name: one.additional for name, one in self._service.served.items() if one.additional}

    def add_workflow(self, name: str, workflow: Workflow, additional_events: list[type[Event]] | None = None) -> None:
        """Serve a workflow under a name of its own; its runs and workers know it by its ``workflow_name``."""
        self._service.add(Served(name=name, workflow=workflow, additional=tuple(additional_events or ())))

    def get_workflows(self) -> dict[str, Workflow]:
        """Those that are served, by name."""
        return {name: one.workflow for name, one in self._service.served.items()}

    def openapi_schema(self) -> dict[str, object]:
        """What the original's routes take and answer. That of ``/api/v1`` is at ``/api/v1/openapi.json``."""
        return description()

    async def start(self) -> WorkflowServer:
        """Connect. Runs go on by themselves, so there is nothing to resume.

        Raises:
            ServerUnreachableError, ServerRefusedError, ServerStartError: there is no server.
        """
        await self._service.home()
        return self

    async def stop(self) -> None:
        """Let go of streams. What this event loop has open closes with it, for others may use it too."""
        self._service.draining.set()

    @asynccontextmanager
    async def contextmanager(self) -> AsyncGenerator[WorkflowServer, None]:
        """Start, and stop at the end."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def serve(
        self, host: str = "localhost", port: int = 80, uvicorn_config: dict[str, Any] | None = None
    ) -> None:
        """Serve until a signal comes."""
        await server_for(self.app, self._service, host, port, uvicorn_config).serve()
