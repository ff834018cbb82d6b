"""A run as it stands, written down for a later one that goes on from there."""

from __future__ import annotations

from pydantic import BaseModel

from broker_wf.broker.snapshots import RunExport
from broker_wf.context.saved import SavedRun, Writer, written
from broker_wf.wire.codec import Codec
from broker_wf.wire.state import decoded_state


def saved_context(
    export: RunExport, codec: Codec, state_type: type[BaseModel], writer: Writer, *, include_state: bool
) -> dict[str, object]:
    """What ``Context.to_dict`` gives of a run.

    Raises:
        ValueError: a value of the state has no encoding.
    """
    state = decoded_state(codec, state_type, export.state) if include_state else None
    run = SavedRun(content=export.content, workers=export.workers, elapsed_s=export.used_ms / 1000)
    return written(state, run if export.status == "running" else None, writer)
