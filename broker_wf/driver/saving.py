"""A run as it stands, written down for a later one that goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import BaseModel

from broker_wf.broker.moving import moved_parts
from broker_wf.broker.snapshots import RunExport
from broker_wf.context.saved import Saved, SavedRun
from broker_wf.core.ids import RunId
from broker_wf.wire.codec import Codec
from broker_wf.wire.signing import SAVED
from broker_wf.wire.state import decoded_state


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBegun:
    """A run that the server does not have yet.

    Attributes:
        run: what it begins with.
        state: its first state; blocks if that is what another run has left. None: it was left out.
    """

    run: SavedRun
    state: Callable[[], BaseModel | None]

    def saved(self, *, include_state: bool) -> Saved:
        """What ``Context.to_dict`` writes of it."""
        return Saved(state=self.state() if include_state else None, run=self.run)


def saved_context(
    run_id: RunId, export: RunExport, codec: Codec, state_type: type[BaseModel], *, include_state: bool
) -> Saved:
    """What ``Context.to_dict`` writes of a run that the server has: one that was cancelled can be resumed, too."""
    state = decoded_state(codec, state_type, export.state) if include_state else None
    move = codec.move(run_id, SAVED)
    export = export if move is None else replace(export, parts=moved_parts(export.parts, move))
    run = SavedRun(content=export.content, workers=export.workers, elapsed_s=export.used_ms / 1000)
    return Saved(state=state, run=run if export.can_go_on else None)
