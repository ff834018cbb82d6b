"""Ask a server, or the sentinels that know where it is, whether it answers: with a socket and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Protocol, cast
from urllib.parse import parse_qsl, unquote

from broker_wf.broker.sentinel_urls import CERTIFICATES, Watched, is_watched, watched
from broker_wf.urls import ServerUrl, split_url

_PATIENCE_S = 3.0
_DEFAULT_PORT = 6379


class _Tls(Protocol):
    def wrapped(self, plain: socket.socket, host: str, options: Mapping[str, str]) -> socket.socket: ...


def ping(url: str) -> str:
    """The first line of the server's answer to PING, after AUTH where the URL has a password.

    Raises:
        OSError: the server cannot be reached, says nothing in time, or no sentinel knows where it is.
    """
    if is_watched(url):
        found = watched(url)
        where, options = _master(found), found.server
    else:
        given = split_url(url)
        where, options = _place(given), _options(given)
    with _talk(where, options) as (connection, refusal):
        return refusal or _asked(connection, "PING")[0]


def _place(given: ServerUrl) -> str | tuple[str, int]:
    """The path of a socket, or a host and a port."""
    if given.parts.scheme == "unix":
        return unquote(given.parts.path)
    host, port = given.addresses[0]
    return host or "localhost", port or _DEFAULT_PORT


def _options(given: ServerUrl) -> Mapping[str, object]:
    query = dict(parse_qsl(given.parts.query))
    words = {name: getattr(given, name) or query.get(name) for name in ("username", "password")}
    if given.parts.scheme != "rediss":
        return words
    return {**words, "ssl": True, **{name: query[name] for name in CERTIFICATES if name in query}}


def _master(found: Watched) -> tuple[str, int]:
    """Where the first sentinel that knows it says it is."""
    reason = ""
    for where in found.sentinels:
        try:
            with _talk(where, found.own) as (connection, refusal):
                question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", found.service)
                answer = [refusal] if refusal else _asked(connection, *question)
        except OSError as error:
            reason = str(error)
            continue
        if len(answer) == 2:
            return answer[0], int(answer[1])
        reason = answer[0].lstrip("-") if answer else "it does not know it"
    raise ConnectionError(f"no sentinel says where {found.service} is: {reason}")


@contextmanager
def _talk(where: str | tuple[str, int], options: Mapping[str, object]) -> Generator[tuple[socket.socket, str]]:
    """A connection, and how the server refused the password, if it did."""
    with _connected(where) as plain, _wrapped(plain, where, options) as connection:
        words = [str(options[name]) for name in ("username", "password") if options.get(name)]
        answer = _asked(connection, "AUTH", *words)[0] if options.get("password") else "+"
        yield connection, "" if answer.startswith("+") else answer


def _connected(where: str | tuple[str, int]) -> socket.socket:
    if not isinstance(where, str):
        return socket.create_connection(where, _PATIENCE_S)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_PATIENCE_S)
    try:
        connection.connect(where)
    except OSError:
        connection.close()
        raise
    return connection


def _wrapped(plain: socket.socket, where: str | tuple[str, int], options: Mapping[str, object]) -> socket.socket:
    """The connection inside TLS where that is asked for; importing it costs more than the rest of the check."""
    if "ssl" not in options:
        return plain
    named = {name: str(options[name]) for name in CERTIFICATES if name in options}
    return cast(_Tls, import_module("broker_wf.cli.tls")).wrapped(plain, where[0], named)


def _asked(connection: socket.socket, *words: str) -> list[str]:
    """The answer to a command: its first line, or what its list holds."""
    encoded = [word.encode() for word in words]
    parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
    connection.sendall(b"".join(parts))
    with connection.makefile("rb") as answer:
        first = _line(answer)
        if not first.startswith("*"):
            return [first]
        return [_line(answer) for _ in range(2 * max(int(first[1:]), 0))][1::2]


def _line(answer: IO[bytes]) -> str:
    line = answer.readline()
    if not line.endswith(b"\n"):
        raise ConnectionError("the server closed the connection")
    return line.decode("utf-8", "replace").strip()
