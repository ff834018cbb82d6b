"""Clients that ask sentinels where the master is, at every new connection: after a failover they find the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

from broker_wf.urls import split_url

SCHEMES = ("redis+sentinel", "rediss+sentinel")
_DEFAULT_PORT = 26379
_OF_SENTINELS = ("username", "password")
CERTIFICATES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
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


class _Order(list[object]):
    """The sentinels; the one that has answered is asked first next time.

    The client library swaps two places when it has waited for the answer. Of two connections that are made at once the
    second then puts a sentinel where it is already, and another one is asked by nobody and closed by nobody any more.
    """

    def __setitem__(self, place: object, sentinel: object) -> None:
        if place == 0:
            self.remove(sentinel)
            self.insert(0, sentinel)


class AsyncMaster:
    """A client of redis.asyncio for whichever server is the master."""

    def __init__(self, sentinel: object, url: str, options: Mapping[str, object]) -> None:
        self._client, self._sentinels = _clients(sentinel, url, options)

    async def execute_command(self, *args: object) -> object:
        """As the client library has it."""
        return await self._client.execute_command(*args)

    def pipeline(self, transaction: bool = True) -> Any:  # noqa: FBT001, FBT002, ANN401 - redis-py's signature
        """As the client library has it."""
        return self._client.pipeline(transaction=transaction)

    async def aclose(self) -> None:
        """Drop the connections, those to the sentinels too, which the client library leaves open."""
        import asyncio  # noqa: PLC0415 - `broker-wf health` reads URLs here, and has no time for it

        clients = (self._client, *self._sentinels)
        await asyncio.gather(*(one.aclose() for one in clients), return_exceptions=True)


class SyncMaster:
    """The blocking client for it."""

    def __init__(self, sentinel: object, url: str, options: Mapping[str, object]) -> None:
        self._client, self._sentinels = _clients(sentinel, url, options)

    def execute_command(self, *args: object) -> object:
        """As the client library has it."""
        return self._client.execute_command(*args)

    def close(self) -> None:
        """Drop the connections."""
        for one in (self._client, *self._sentinels):
            one.close()


def _clients(sentinel: object, url: str, options: Mapping[str, object]) -> tuple[Any, list[Any]]:
    """A client for the master, and those for the sentinels."""
    found, wait = watched(url), options["socket_connect_timeout"]
    # Left to itself the library asks a sentinel that is gone again and again, for seconds, before it asks the next.
    own = {"socket_timeout": wait, "socket_connect_timeout": wait, "retry": options["retry"], **found.own}
    asked = cast(Any, sentinel)(found.sentinels, sentinel_kwargs=own)
    asked.sentinels = _Order(asked.sentinels)
    return asked.master_for(found.service, **options, **found.server), asked.sentinels
