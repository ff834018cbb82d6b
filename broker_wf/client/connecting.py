"""From a URL to a transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import cast
from urllib.parse import urlsplit

from broker_wf.client.over_redis import over_redis
from broker_wf.client.ports import Transport
from broker_wf.configuration import current_settings
from broker_wf.errors import SettingsError


async def connected(url: str | None, token: str | None, namespace: str | None, patience_s: float) -> Transport:
    """The transport that the scheme of the URL names.

    Raises:
        SettingsError: it names none, or httpx is not installed.
        ServerUnreachableError, ServerRefusedError, ServerStartError: Redis cannot be used.
    """
    if url is not None and urlsplit(url).scheme in ("http", "https"):
        if find_spec("httpx") is None:
            raise SettingsError("url", url, "httpx is not installed: pip install 'broker-wf[client]'")
        over_http = cast("Callable[..., Transport]", import_module("broker_wf.client.over_http").over_http)
        return over_http(url, token, patience_s)
    settings = current_settings(url)
    return await over_redis(settings if namespace is None else replace(settings, namespace=namespace), patience_s)
