"""How runs stand, in a round trip: what whoever asks for it every second needs to know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from broker_wf.broker.broker import Broker
from broker_wf.broker.kinds import FIELD, of_values
from broker_wf.core.ids import RunId
from broker_wf.inspector.listing import shown_status
from broker_wf.inspector.records import error_view, moment_of
from broker_wf.inspector.replies import text
from broker_wf.inspector.views import ErrorView, moment

_FIELDS = ("status", FIELD, "created_ms", "started_ms", "ended_ms", "later_window", "result", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a run stands.

    Attributes:
        status: as of a ``RunSummary``.
        result: the encoded stop event; empty unless completed.
    """

    run_id: RunId
    workflow: str
    status: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    result: bytes
    error: ErrorView | None


async def standing_of(broker: Broker, run_id: str) -> Standing | None:
    """How a run stands, by its whole id; None: there is no such run."""
    raw = await broker.pipe.command("HMGET", broker.keys.of("run", run_id), *_FIELDS)
    values = cast("list[bytes | None]", raw)
    fields = of_values(_FIELDS, values)
    if "status" not in fields:
        return None
    status = shown_status(fields)
    return Standing(
        run_id=RunId(run_id),
        workflow=text(fields["workflow"]),
        status=status,
        created_at=moment_of(fields, "created_ms") or moment(0),
        started_at=moment_of(fields, "started_ms"),
        ended_at=moment_of(fields, "ended_ms"),
        result=fields.get("result", b"") if status == "completed" else b"",
        error=error_view(status, fields.get("error", b"")),
    )


async def standings_of(broker: Broker, run_ids: Sequence[str]) -> list[Standing]:
    """How those of the runs stand that there are, in the order given."""
    found = await asyncio.gather(*(standing_of(broker, run_id) for run_id in run_ids))
    return [one for one in found if one is not None]
