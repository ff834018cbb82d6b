"""The HTTP API of llama-agents-server: its clients work with this server as they are."""

from broker_wf.server.llama_index.routes import routes

__all__ = ["routes"]
