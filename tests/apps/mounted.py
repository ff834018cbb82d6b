"""An app of somebody else, with the workflows' app mounted in it."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Mount

from broker_wf.server import create_app
from tests.apps.answering import flows

app = Starlette(routes=[Mount("/wf", create_app(flows))])
