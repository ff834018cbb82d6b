"""Workflows of ``llama-index-workflows``, as they are, on this engine: their steps spread over all workers.

Needs the extra ``llamaindex``.
"""

try:
    from broker_wf.integrations.llama_index.workflow import DistributedWorkflow, distribute
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "workflows":
        raise
    raise ModuleNotFoundError(
        "broker_wf.integrations.llama_index needs llama-index-workflows: pip install 'broker-wf[llamaindex]'",
        name=error.name,
    ) from error

__all__ = ["DistributedWorkflow", "distribute"]
