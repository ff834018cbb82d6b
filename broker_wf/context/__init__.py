"""What steps and handlers use to reach their run."""

from __future__ import annotations

from broker_wf.context.context import Context

__all__ = ["Context"]
