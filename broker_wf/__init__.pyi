"""LlamaIndex-style workflows that scale out over Redis Streams."""

from broker_wf._version import __version__ as __version__
from broker_wf.configuration import configure as configure
from broker_wf.context import Context as Context
from broker_wf.decorators import catch_error as catch_error
from broker_wf.decorators import step as step
from broker_wf.home import close_homes as close_homes
from broker_wf.inspecting import open_inspector as open_inspector
from broker_wf.many import RunOutcome as RunOutcome
from broker_wf.many import map as map
from broker_wf.many import run_many as run_many
from broker_wf.settings import Settings as Settings
from broker_wf.workflow import Workflow as Workflow

__all__ = [
    "Context",
    "RunOutcome",
    "Settings",
    "Workflow",
    "__version__",
    "catch_error",
    "close_homes",
    "configure",
    "open_inspector",
    "run_many",
    "step",
]
