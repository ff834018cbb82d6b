"""To a server of workflows: its ``/api/v1``."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from pydantic import TypeAdapter

from broker_wf.again import Again
from broker_wf.client.calling import Caller, Query
from broker_wf.client.ports import Fields, Health, RunPage, Transport
from broker_wf.core.run_options import RunOptions
from broker_wf.errors import BrokerError, EventsTrimmedError
from broker_wf.inspector.searching import RunFilter
from broker_wf.inspector.views import (
    DeadLetterView,
    EventView,
    ExecutionView,
    LogView,
    RunView,
    WorkerView,
    WorkflowView,
)

T = TypeVar("T")


def over_http(url: str, token: str | None, patience_s: float) -> Transport:
    """Nothing is asked yet."""
    caller = Caller(url, token, patience_s)
    return Transport(runs=HttpRuns(caller), fleet=HttpFleet(caller))


@dataclass(frozen=True, slots=True)
class HttpRuns:
    """See ``Runs``."""

    caller: Caller

    async def submit(self, workflow: str, values: Fields, run_id: str, options: RunOptions) -> None:
        """See ``Runs``."""
        body = {"workflow": workflow, "event": dict(values), "run_id": run_id, **_told(options)}
        await self.caller.ask("POST", "/runs", body=body, about=run_id)

    async def page(self, wanted: RunFilter, limit: int, cursor: str | None) -> RunPage:
        """See ``Runs``."""
        asked = {
            "workflow": wanted.workflow,
            "status": wanted.status,
            "since": None if wanted.since is None else wanted.since.isoformat(),
            "q": wanted.q,
            "tag": [f"{name}={value}" for name, value in wanted.tags.items()],
            "error": wanted.error,
            "longer_than": None if wanted.longer_than_s is None else str(wanted.longer_than_s),
            "limit": str(limit),
            "cursor": cursor,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        return TypeAdapter(RunPage).validate_python(await self.caller.ask("GET", "/runs", query=given))

    async def show(self, run_id: str) -> RunView:
        """See ``Runs``."""
        return TypeAdapter(RunView).validate_python((await self._of("GET", run_id))["run"])

    async def ended(self, run_id: str) -> None:
        """See ``Runs``."""
        after = 0
        while (await self.show(run_id)).ended_at is None:
            try:
                async for event in self.events(run_id, after):
                    after = event.seq
            except EventsTrimmedError as error:
                after = error.first_missing

    async def steps(self, run_id: str) -> list[ExecutionView]:
        """See ``Runs``."""
        return TypeAdapter(list[ExecutionView]).validate_python((await self._of("GET", run_id, "/steps"))["steps"])

    async def events(self, run_id: str, after: int) -> AsyncGenerator[EventView, None]:
        """See ``Runs``."""
        place = _Place(after)
        async for name, data in self.caller.follow(_path(run_id, "/events"), place.query, about=run_id):
            if name == "trimmed":
                raise EventsTrimmedError(place.seq + 1)
            view = TypeAdapter(EventView).validate_json(data)
            if place.is_new(view.seq):
                yield view

    async def logs(self, run_id: str, limit: int) -> list[LogView]:
        """See ``Runs``."""
        found = await self._of("GET", run_id, "/logs", query={"limit": str(limit)})
        return TypeAdapter(list[LogView]).validate_python(found["logs"])

    async def send(self, run_id: str, name: str, values: Fields, step: str | None, event_id: str) -> None:
        """See ``Runs``."""
        body = {"type": name, "value": dict(values), "step": step, "event_id": event_id}
        await self._of("POST", run_id, "/events", body=body)

    async def cancel(self, run_id: str) -> str:
        """See ``Runs``."""
        return cast(str, (await self._of("POST", run_id, "/cancel", body={}))["status"])

    async def rerun(self, run_id: str, from_step: str | None, new_id: str) -> None:
        """See ``Runs``."""
        await self._of("POST", run_id, "/rerun", body={"from_step": from_step, "run_id": new_id})

    async def _of(
        self,
        method: str,
        run_id: str,
        tail: str = "",
        *,
        query: Query | None = None,
        body: Fields | None = None,
    ) -> Mapping[str, object]:
        return await self.caller.ask(method, _path(run_id, tail), query=query, body=body, about=run_id)


class _Place:
    """Where a stream is to go on. Several events may share a number, so part of them may have been seen."""

    def __init__(self, after: int) -> None:
        self.seq, self._seen, self._again = after, 0, 0

    def query(self) -> dict[str, str]:
        """What to ask for when the stream is opened, or opened anew."""
        self._again = self._seen
        return {"sse": "true", "after": str(self.seq - 1 if self._seen else self.seq)}

    def is_new(self, seq: int) -> bool:
        """Whether the next event that has come was not seen before."""
        if seq == self.seq and self._again:
            self._again -= 1
            return False
        self._seen = self._seen + 1 if seq == self.seq else 1
        self.seq = seq
        return True


@dataclass(frozen=True, slots=True)
class HttpFleet:
    """See ``Fleet``."""

    caller: Caller

    async def workers(self) -> list[WorkerView]:
        """See ``Fleet``."""
        return TypeAdapter(list[WorkerView]).validate_python((await self.caller.ask("GET", "/workers"))["workers"])

    async def workflows(self) -> list[WorkflowView]:
        """See ``Fleet``."""
        return TypeAdapter(list[WorkflowView]).validate_python((await self.caller.ask("GET", "/queues"))["queues"])

    async def dead_letters(self, limit: int) -> list[DeadLetterView]:
        """See ``Fleet``."""
        found = await self.caller.ask("GET", "/dlq", query={"limit": str(limit)})
        return TypeAdapter(list[DeadLetterView]).validate_python(found["dead_letters"])

    async def retry(self, ids: Sequence[str]) -> list[Again]:
        """See ``Fleet``."""
        if not ids:
            return []
        found = await self.caller.ask("POST", "/dlq:retry", body={"ids": list(ids)})
        return TypeAdapter(list[Again]).validate_python(found["letters"])

    async def drop(self, ids: Sequence[str]) -> int:
        """See ``Fleet``."""
        return (
            0
            if not ids
            else cast(int, (await self.caller.ask("POST", "/dlq:drop", body={"ids": list(ids)}))["dropped"])
        )

    async def health(self) -> Health:
        """See ``Fleet``."""
        try:
            found = await self.caller.ask("GET", "/readyz", patient=False)
        except BrokerError as error:
            return Health(ok=False, detail=str(error))
        return Health(ok=found.get("status") == "ok", detail=cast("str | None", found.get("detail")))

    async def close(self) -> None:
        """See ``Fleet``."""
        await self.caller.close()


def _told(options: RunOptions) -> dict[str, object]:
    """What is as usual is left out: a server that does not know it yet need not."""
    told: dict[str, object] = {}
    if options.tags:
        told["tags"] = dict(options.tags)
    if options.delay_ms:
        told["delay"] = options.delay_ms / 1000
    if options.on_conflict != "fail":
        told |= {"on_conflict": options.on_conflict, "request_id": secrets.token_hex(8)}
    if options.priority != "normal":
        told["priority"] = options.priority
    if options.fairness_key is not None:
        told["fairness_key"] = options.fairness_key
    return told


def _path(run_id: str, tail: str) -> str:
    return f"/runs/{Caller.quoted(run_id)}{tail}"
