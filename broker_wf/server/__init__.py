"""Workflows over HTTP: the routes of LlamaIndex, those of our own, and the page."""

from broker_wf.server.app import create_app
from broker_wf.server.options import ServerOptions
from broker_wf.server.workflow_server import WorkflowServer

__all__ = ["ServerOptions", "WorkflowServer", "create_app"]
