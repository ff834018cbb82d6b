"""URLs that name sentinels, which know where the server is, and not the server itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from broker_wf.urls import split_url

SCHEMES = ("redis+sentinel", "rediss+sentinel")
CERTIFICATES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_DEFAULT_PORT = 26379
_OF_SENTINELS = ("username", "password")


class Watched(NamedTuple):
    """What ``redis+sentinel://user:password@host:port,host:port/service/db?sentinel_password=…`` says.

    Attributes:
        sentinels: where they listen.
        service: under which name they know the master.
        server: options of a connection to it.
        own: options of a connection to a sentinel.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    server: Mapping[str, object]
    own: Mapping[str, object]


def is_watched(url: str) -> bool:
    """Whether the URL names sentinels and not the server itself."""
    return url.partition("://")[0] in SCHEMES


def watched(url: str) -> Watched:
    """Read such a URL."""
    given = split_url(url)
    query = dict(parse_qsl(given.parts.query))
    service, _, db = unquote(given.parts.path).strip("/").partition("/")
    server: dict[str, object] = {"db": int(db or query.get("db", "0"))}
    username, password = given.username or query.get("username"), given.password or query.get("password")
    server |= {name: word for name, word in (("username", username), ("password", password)) if word}
    own: dict[str, object] = {
        name: query[f"sentinel_{name}"] for name in _OF_SENTINELS if query.get(f"sentinel_{name}")
    }
    if given.parts.scheme == "rediss+sentinel":
        tls: dict[str, object] = {"ssl": True, **{name: query[name] for name in CERTIFICATES if name in query}}
        server, own = {**server, **tls}, {**own, **tls}
    return Watched(
        sentinels=tuple((host or "localhost", port or _DEFAULT_PORT) for host, port in given.addresses),
        service=service,
        server=server,
        own=own,
    )
