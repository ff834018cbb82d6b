"""Where llama-index-workflows has the exception that leaves a waiting step; agents let it pass by this name."""

from __future__ import annotations

from broker_wf.core.pause import WaitingForEvent

__all__ = ["WaitingForEvent"]
