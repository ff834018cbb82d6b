"""The bundled server: find or start it, share it, stop it when nobody uses it."""

from broker_wf.embedded.server import BundledServer

__all__ = ["BundledServer"]
