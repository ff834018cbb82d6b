"""A PostgreSQL of our own, for those who keep their runs in one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.rig import MissingError, free_port

DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs of the server, a directory for each version; they are not on PATH there."""


def programs() -> Path:
    """The directory of `initdb` and `pg_ctl`.

    Raises:
        MissingError: there is none.
    """
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = max(DEBIAN.glob("[0-9]*/bin/initdb"), key=lambda path: float(path.parts[-3]), default=None)
    if found is None:
        raise MissingError(f"PostgreSQL's initdb is neither on PATH nor in {DEBIAN}")
    return found.parent


@contextmanager
def postgres() -> Iterator[str]:
    """A server in a temporary directory, with the settings of `initdb`: what is committed is on the disk.

    Raises:
        MissingError: it did not start.
    """
    home, owner = programs(), _owner()
    directory, port = Path(tempfile.mkdtemp(prefix="bwf-bench-")), free_port()

    def said(name: str, *words: str) -> None:
        command = [str(home / name), "-D", str(directory / "data"), *words]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, **owner)
        if done.returncode != 0:
            raise MissingError(f"{name}: {' '.join((done.stderr or done.stdout).split())[-200:]}")

    try:
        if owner:
            os.chown(directory, owner["user"], owner["group"])
        said("initdb", "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C")
        place = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories="
        said("pg_ctl", "start", "-w", "-l", str(directory / "log"), "-o", place)
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            said("pg_ctl", "stop", "-w", "-m", "fast")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _owner() -> dict[str, Any]:
    """As whom `subprocess` is to run it: it refuses root."""
    if os.geteuid() != 0:
        return {}
    users = {one.pw_name: one for one in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
