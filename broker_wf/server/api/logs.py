"""What the steps of a run have logged, once or as it comes."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from broker_wf.core.ids import RunId
from broker_wf.inspector import Inspector
from broker_wf.inspector.logs import follow_logs, read_logs
from broker_wf.server.api.endpoint import Call, as_json
from broker_wf.server.api.models import Logs, LogsQuery
from broker_wf.server.sse import HEARTBEAT, LiveResponse

_QUIET_S = 15.0
_CURSOR = re.compile(r"[0-9]{1,18}-[0-9]{1,18}")


async def list_logs(call: Call) -> Logs | LiveResponse:
    """``GET /runs/{run_id}/logs``."""
    asked = call.query(LogsQuery)
    inspector = await call.inspector()
    run_id = await inspector.run_id(call.path("run_id"))
    if not asked.sse and "text/event-stream" not in call.request.headers.get("accept", ""):
        lines, cursor = await read_logs(
            inspector.broker, run_id, after=asked.after, limit=asked.limit, step=asked.step, level=asked.level
        )
        return Logs(logs=lines, next=cursor)
    seen = call.request.headers.get("last-event-id", "")
    after = seen if _CURSOR.fullmatch(seen) else asked.after
    return LiveResponse(
        _streamed(inspector, run_id, asked, after),
        media_type="text/event-stream",
        draining=call.host.draining,
        quiet=HEARTBEAT,
        quiet_s=_QUIET_S,
    )


async def _streamed(inspector: Inspector, run_id: RunId, asked: LogsQuery, after: str) -> AsyncGenerator[bytes, None]:
    """Lines as they come; an ``end`` when the run has ended, so that a browser does not ask again."""
    yield b": the log of a run\n\n"
    async for line in follow_logs(inspector.broker, run_id, after=after, step=asked.step, level=asked.level):
        yield f"id: {line.cursor}\n".encode() + b"data: " + as_json(line) + b"\n\n"
    yield b"event: end\ndata: {}\n\n"
