"""A workflow as the engine sees it: facts, routes, codec; never the class."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker_wf.core.routing import Router
from broker_wf.core.spec import WorkflowSpec
from broker_wf.engine.pace import Pace
from broker_wf.resource import ResourceManager
from broker_wf.wire.codec import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is needed to execute the deliveries of a workflow.

    Attributes:
        pace: of its steps in this process.
        verbose: say what each execution does, see ``engine/verbose.py``.
    """

    spec: WorkflowSpec
    router: Router
    codec: Codec
    resources: ResourceManager
    verbose: bool = False
    pace: Pace = field(default_factory=Pace, compare=False)
