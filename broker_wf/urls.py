"""URLs of servers, several hosts joined by commas among them: ``redis+sentinel://a:1,[::1]:2/service``."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

_HOSTS = re.compile(r"([^:/?#]+://(?:[^/?#]*@)?)([^/?#]*)")


class ServerUrl(NamedTuple):
    """A URL in its parts.

    Attributes:
        parts: of the URL with the first host alone.
        hosts: all of them as they were written, ports included.
        addresses: host and port of each; None where none was given.
    """

    parts: SplitResult
    hosts: tuple[str, ...]
    addresses: tuple[tuple[str | None, int | None], ...]

    @property
    def username(self) -> str | None:
        """Unquoted."""
        return None if self.parts.username is None else unquote(self.parts.username)

    @property
    def password(self) -> str | None:
        """Unquoted."""
        return None if self.parts.password is None else unquote(self.parts.password)


def split_url(url: str) -> ServerUrl:
    """Take a URL apart.

    Some Pythons' ``urlsplit`` takes several hosts of which one stands in brackets for no URL, others do not mind.

    Raises:
        ValueError: it is none; the message holds nothing of it.
    """
    found = _HOSTS.match(url)
    head, given = found.groups() if found else ("", "")
    hosts = tuple(given.split(","))
    try:
        parts = urlsplit(head + hosts[0] + url[len(head) + len(given) :])
        each = [urlsplit(f"//{one}") for one in hosts]
        return ServerUrl(parts, hosts, tuple((one.hostname, one.port) for one in each))
    except ValueError:
        raise ValueError("is no URL of a server") from None
