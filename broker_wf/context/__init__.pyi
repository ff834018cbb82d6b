"""What steps and handlers use to reach their run."""

from broker_wf.context.context import Context as Context
from broker_wf.context.serializers import BaseSerializer as BaseSerializer
from broker_wf.context.serializers import JsonPickleSerializer as JsonPickleSerializer
from broker_wf.context.serializers import JsonSerializer as JsonSerializer
from broker_wf.context.serializers import PickleSerializer as PickleSerializer

__all__ = ["BaseSerializer", "Context", "JsonPickleSerializer", "JsonSerializer", "PickleSerializer"]
