"""What live runs try again, and why: read from their live deliveries, for no index tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from broker_wf.broker.broker import Broker
from broker_wf.inspector.records import attempt_error, record_of
from broker_wf.inspector.views import ErrorView

_LOOKED_THROUGH = 10_000
_AT_ONCE = 20


async def last_errors(broker: Broker, run_ids: Sequence[str]) -> dict[str, list[ErrorView]]:
    """What live deliveries of runs have failed with before, by run.

    The runs are looked through in their order, as far as they have no more than 10,000 live deliveries together.
    """
    sizes = await asyncio.gather(*(broker.pipe.command("HLEN", broker.keys.of("live", one)) for one in run_ids))
    looked, left = list[str](), _LOOKED_THROUGH
    for run_id, size in zip(run_ids, cast("list[int]", sizes), strict=True):
        if 0 < size <= left:
            looked.append(run_id)
            left -= size
    found: dict[str, list[ErrorView]] = {}
    for begin in range(0, len(looked), _AT_ONCE):
        some = looked[begin : begin + _AT_ONCE]
        replies = await asyncio.gather(*(broker.pipe.command("HVALS", broker.keys.of("live", one)) for one in some))
        for run_id, raws in zip(some, cast("list[list[bytes]]", replies), strict=True):
            errors = (record_of(raw).get("g") for raw in raws)
            found[run_id] = [attempt_error(one) for one in errors if isinstance(one, bytes) and one]
    return found
