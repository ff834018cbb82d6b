"""Which server is meant: the settings that say so, for which a health check need not read all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlunsplit

from broker_wf.errors import SettingsError, without_password
from broker_wf.urls import split_url

PREFIX = "BROKER_WF_"
BUNDLED = "bundled://"
_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix", "bundled")


def variable(name: str) -> str | None:
    """What the environment says of a setting; None where it says nothing."""
    return os.environ.get(PREFIX + name.upper()) or None


class Address(NamedTuple):
    """Some of the settings, with their names and meanings there."""

    url: str | None = None
    password_file: str | None = None
    data: str = ""

    @classmethod
    def load(cls, url: str | None) -> Address:
        """From the environment; an argument wins over it.

        Raises:
            SettingsError: the URL is none of a server.
        """
        found = cls(url or variable("url"), variable("password_file"), variable("data") or "")
        found.check()
        return found

    def check(self) -> None:
        """Refuse what is no URL of a server.

        Raises:
            SettingsError: it is none.
        """
        fault = "" if self.url is None else _fault_of_url(self.url)
        if self.url is not None and fault:
            raise SettingsError("url", without_password(self.url), fault)

    @property
    def data_dir(self) -> Path:
        """Where the bundled server keeps its data."""
        if self.data:
            return Path(self.data).expanduser()
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Path(base).expanduser() / "broker_wf"

    @property
    def is_bundled(self) -> bool:
        """Whether the server is the bundled one."""
        return self.url is None or self.url.startswith(BUNDLED)

    @property
    def full_url(self) -> str:
        """The URL with the password of ``password_file`` in it.

        Raises:
            SettingsError: the file cannot be read.
        """
        url = self.url or BUNDLED
        given = split_url(url)
        parts = given.parts
        if self.password_file is None or parts.password is not None or parts.scheme == "bundled":
            return url
        try:
            secret = Path(self.password_file).read_text("utf-8").splitlines()[0].strip()
        except (OSError, IndexError) as error:
            raise SettingsError("password_file", self.password_file, f"cannot be read: {error}") from error
        user, hosts = parts.username or "", ",".join(given.hosts)
        return urlunsplit(parts._replace(netloc=f"{user}:{quote(secret, safe='')}@{hosts}"))


def _fault_of_url(url: str) -> str:
    """Why it cannot be the server's; empty if it can."""
    try:
        parts = split_url(url).parts
    except ValueError as error:
        return str(error)
    if parts.scheme not in _SCHEMES:
        return f"must begin with one of {', '.join(_SCHEMES)}"
    if parts.scheme.endswith("+sentinel") and not parts.path.strip("/"):
        return "must name the service: …host:port/service"
    return ""
