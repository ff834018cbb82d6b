"""What that API calls handlers: runs, as its clients see them."""

from __future__ import annotations

from datetime import datetime, timezone

from broker_wf.core.ids import RunId
from broker_wf.errors import DecodeError
from broker_wf.inspector.standing import Standing, standings_of
from broker_wf.inspector.views import moment
from broker_wf.server.llama_index.envelopes import read_envelope
from broker_wf.server.service import Served, Service

_STATUSES = {
    "running": "running",
    "queued": "running",
    "completed": "completed",
    "failed": "failed",
    "timed_out": "failed",
    "cancelled": "cancelled",
}
"""The engine's statuses as that API has them, which knows four."""
_LISTED = 10_000


async def handler_data(service: Service, standing: Standing) -> dict[str, object]:
    """A run as ``HandlerData``, and how it stands by our own word under ``state``."""
    served = service.served_as(standing.workflow)
    result, unreadable = None, False
    if standing.status == "completed":
        try:
            result = read_envelope(await service.result_of(standing))
        except DecodeError:
            unreadable = True
    error = standing.error.message if standing.error and standing.status != "cancelled" else None
    changed = standing.ended_at or standing.started_at or standing.created_at
    return {
        "handler_id": standing.run_id,
        "workflow_name": served.name if served else standing.workflow,
        "run_id": standing.run_id,
        "error": error,
        "result": result,
        "result_unreadable": unreadable,
        "status": _STATUSES[standing.status],
        "started_at": standing.created_at.isoformat(),
        "updated_at": changed.isoformat(),
        "completed_at": standing.ended_at.isoformat() if standing.ended_at else None,
        "state": standing.status,
    }


def just_accepted(served: Served, run_id: RunId) -> dict[str, object]:
    """A run as ``HandlerData`` at the moment of its acceptance, which asks the server nothing."""
    now = datetime.now(timezone.utc).isoformat()
    return {
        "handler_id": run_id,
        "workflow_name": served.name,
        "run_id": run_id,
        "error": None,
        "result": None,
        "result_unreadable": False,
        "status": "running",
        "started_at": now,
        "updated_at": now,
        "completed_at": None,
        "state": "running",
    }


def status_code(data: dict[str, object]) -> int:
    """With what status a handler is shown: 422 where its result cannot be read."""
    if data["result_unreadable"]:
        return 422
    return {"running": 202, "completed": 200}.get(str(data["status"]), 500)


async def list_handlers(
    service: Service, statuses: set[str] | None, workflows: set[str] | None
) -> list[dict[str, object]]:
    """The newest runs that fit, up to 10,000 of each pair of workflow and status asked for.

    Args:
        statuses: of that API; None: any.
        workflows: names under which they are served; None: all, served here or not.
    """
    inspector = await service.inspector()
    names: list[str | None] = [None]
    if workflows is not None:
        names = [service.served[one].workflow.workflow_name if one in service.served else one for one in workflows]
    engine: list[str | None] = [None]
    if statuses is not None:
        engine = [ours for ours, theirs in _STATUSES.items() if theirs in statuses]
    found = [run for name in names for one in engine for run in await inspector.runs(name, one, _LISTED)]
    found.sort(key=lambda run: (run.created_at or moment(0), run.run_id), reverse=True)
    standings = await standings_of(inspector.broker, [run.run_id for run in found])
    return [await handler_data(service, one) for one in standings]
