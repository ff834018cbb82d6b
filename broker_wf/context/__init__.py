"""What steps and handlers use to reach their run."""

from __future__ import annotations

from broker_wf.context.context import Context
from broker_wf.context.serializers import BaseSerializer, JsonPickleSerializer, JsonSerializer, PickleSerializer

__all__ = ["BaseSerializer", "Context", "JsonPickleSerializer", "JsonSerializer", "PickleSerializer"]
