"""The page: files that a browser loads, nothing else; it asks the API for everything it shows."""

from __future__ import annotations

from broker_wf.server.page.serving import page_routes

__all__ = ["page_routes"]
