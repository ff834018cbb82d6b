"""Questions about a namespace, answered by reading only; nothing here executes or changes a run."""

from broker_wf.inspector.inspector import Inspector

__all__ = ["Inspector"]
