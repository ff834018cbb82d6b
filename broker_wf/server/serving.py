"""The app in a server of its own."""

from __future__ import annotations

import resource
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from broker_wf.server.service import Service

DRAIN_S = 10
"""How long requests may go on after a stop was asked for; streams let go at once."""

KEEP_ALIVE_S = 75
"""How long a connection may be idle: longer than clients and proxies leave theirs, for who asks on one that is just
being closed finds it reset and does not know whether he was heard."""

_MOST_FILES = 65_536


def take_all_files() -> None:
    """Let this process have as many connections as it may: each stream is one, and a shell often gives 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS tells of no limit and has one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class DrainingServer(uvicorn.Server):
    """Tells the service when a stop was asked for, before it waits for requests to end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._service.draining.set()
        await super().shutdown(sockets)


def server_for(
    app: ASGIApp, service: Service, host: str, port: int, config: Mapping[str, Any] | None = None
) -> DrainingServer:
    """A server that is not running yet.

    Args:
        config: for ``uvicorn.Config``; it wins.
    """
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "root_path": service.options.root_path,
        "timeout_graceful_shutdown": DRAIN_S,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "h11_max_incomplete_event_size": 2 * service.options.max_header_bytes,
        "server_header": False,
        **(config or {}),
    }
    return DrainingServer(uvicorn.Config(app, **given), service)
