"""``/api/v1``: everything about runs, workers and queues as JSON, described by OpenAPI 3.1."""

from __future__ import annotations

from starlette.routing import Route

from broker_wf.server.api.host import Host
from broker_wf.server.api.table import PREFIX, probe_routes, routes

__all__ = ["PREFIX", "Host", "Route", "probe_routes", "routes"]
