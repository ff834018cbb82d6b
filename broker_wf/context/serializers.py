"""How saved contexts are written: the names of the original. The wire between processes has a codec of its own."""

from __future__ import annotations

from broker_wf.context.json_serializer import BaseSerializer, JsonSerializer
from broker_wf.context.pickle_serializer import JsonPickleSerializer, PickleSerializer

__all__ = ["BaseSerializer", "JsonPickleSerializer", "JsonSerializer", "PickleSerializer"]
