"""For tests of workflows."""

from __future__ import annotations

from broker_wf.testing.runner import WorkflowTestResult, WorkflowTestRunner

__all__ = ["WorkflowTestResult", "WorkflowTestRunner"]
