"""Workflows of ``llama-index-workflows``, as they are, on this engine: their steps spread over all workers.

Needs the extra ``llamaindex``.
"""

from broker_wf.integrations.llama_index.workflow import DistributedWorkflow, distribute

__all__ = ["DistributedWorkflow", "distribute"]
