"""Runs that no live worker can execute: nobody serves their workflow, or nobody has their version of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import cast

from broker_wf.broker.broker import Broker
from broker_wf.broker.kinds import FIELD, of_values
from broker_wf.inspector.listing import known_workflows
from broker_wf.inspector.replies import scored, text, texts
from broker_wf.inspector.views import UnservedView, moment

_LOOKED_AT = 10_000
_EXAMPLES = 3
_Group = tuple[str, str]
"""Lane and digest: those of a run say which workers can execute it."""


async def unserved_runs(broker: Broker) -> tuple[UnservedView, ...]:
    """Live runs without a worker, by workflow and version; the 10,000 oldest live runs of each are looked at."""
    alive = set(texts(await broker.pipe.command("ZRANGE", broker.keys.of("roster"), 0, -1)))
    found = await asyncio.gather(*(_of(broker, name, alive) for name in await known_workflows(broker)))
    return tuple(view for views in found for view in views)


async def _of(broker: Broker, workflow: str, alive: set[str]) -> list[UnservedView]:
    key = broker.keys.of
    oldest = await broker.pipe.command("ZRANGE", key("live_runs", workflow), 0, _LOOKED_AT - 1, "WITHSCORES")
    runs = scored(oldest)
    asked = [broker.pipe.command("HGET", key("run", run_id), FIELD) for run_id, _ in runs]
    groups = defaultdict[_Group, list[tuple[str, int]]](list)
    for run, reply in zip(runs, await asyncio.gather(*asked), strict=True):
        fields = of_values((FIELD,), (cast("bytes | None", reply),))
        if fields["lane"]:
            groups[text(fields["lane"]), text(fields["digest"])].append(run)
    served = await asyncio.gather(*(_is_served(broker, group, alive) for group in groups))
    somebody = bool(alive.intersection(await _serving(broker, workflow)))
    return [
        _view(workflow, digest, runs, has_workers=somebody)
        for ((_, digest), runs), is_served in zip(groups.items(), served, strict=True)
        if not is_served
    ]


async def _is_served(broker: Broker, group: _Group, alive: set[str]) -> bool:
    lane, digest = group
    return bool(alive.intersection(await _serving(broker, f"{lane}#{digest}")))


async def _serving(broker: Broker, lane: str) -> list[str]:
    return texts(await broker.pipe.command("ZRANGE", broker.keys.of("serving", lane), 0, -1))


def _view(workflow: str, digest: str, runs: list[tuple[str, int]], *, has_workers: bool) -> UnservedView:
    return UnservedView(
        workflow=workflow,
        digest=digest,
        has_workers=has_workers,
        runs=len(runs),
        oldest_at=moment(min(accepted_ms for _, accepted_ms in runs)),
        examples=tuple(run_id for run_id, _ in runs[:_EXAMPLES]),
    )
