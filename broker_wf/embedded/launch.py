"""Start the server and its keeper as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from broker_wf.embedded.binary import ServerBinary, find_server_binary
from broker_wf.embedded.layout import Layout, config_text, make_private
from broker_wf.embedded.locks import LockFile
from broker_wf.errors import ServerStartError

_KEEPER = Path(__file__).with_name("keeper.py")
_CHECKER_NAME = "redis-check-aof"
_LOG_MAX_BYTES = 1 << 20
_LOG_TAIL_BYTES = 2000


def launch_server(
    layout: Layout,
    lock: LockFile,
    keeper_lock: LockFile | None,
    *,
    explicit: str | None,
    linger_s: float,
    deadline: float,
) -> bool:
    """Start the server, and a keeper if its lock is given. Both locks are taken, and become theirs.

    Returns:
        Whether the log of writes is known to be whole. If not, the server cuts a torn end by itself,
        but may leave half a transaction: have it rewrite the log before anything else.

    Raises:
        ServerStartError: no binary, or the log could not be checked in time. Nothing was started.
    """
    os.ftruncate(lock.fd, 0)
    binary = find_server_binary(explicit)
    if layout.socket.parent != layout.directory:
        make_private(layout.socket.parent)
    layout.config.write_bytes(config_text(layout))
    if log_size(layout) > _LOG_MAX_BYTES:
        layout.log.unlink()
    whole = _repair(layout, binary, lock, deadline)
    _spawn(layout, binary.path, lock.fd, keeper_lock.fd if keeper_lock else -1, linger_s)
    return whole


def launch_keeper(layout: Layout, lock: LockFile, *, linger_s: float) -> None:
    """Start a keeper for a server that runs already.

    Raises:
        ServerStartError: the keeper could not be started.
    """
    _spawn(layout, "", -1, lock.fd, linger_s)


def _spawn(layout: Layout, binary: str, server_fd: int, keeper_fd: int, linger_s: float) -> None:
    paths = [binary, layout.config, layout.socket, layout.users_lock, layout.server_lock]
    command = [sys.executable, "-I", "-S", _KEEPER, *paths, str(linger_s), str(server_fd), str(keeper_fd)]
    with layout.log.open("ab") as log:
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=[fd for fd in (server_fd, keeper_fd) if fd >= 0],
            )
        except OSError as error:
            raise ServerStartError(f"cannot run {sys.executable!r}: {error}") from error
    if ended.returncode != 0:
        raise ServerStartError(f"its keeper failed; {log_tail(layout, 0)}")


def _repair(layout: Layout, binary: ServerBinary, lock: LockFile, deadline: float) -> bool:
    """Cut what a power loss left half written, a begun transaction included.

    Server and checker are one program, which goes by the name it is called by. One of unknown version is
    not asked: before 7.0 it would take the manifest for the log, and empty it.
    """
    if not layout.manifest.exists():
        return True
    if binary.version is None:
        return False
    with layout.log.open("ab") as log:
        try:
            ended = subprocess.run(
                [_CHECKER_NAME, "--fix", layout.manifest],
                executable=binary.path,
                input=b"y\n",
                stdout=log,
                stderr=log,
                timeout=max(deadline - time.monotonic(), 0),
                pass_fds=[lock.fd],
            )
        except subprocess.TimeoutExpired as error:
            message = f"checking the log of writes {layout.manifest} took too long; allow more time"
            raise ServerStartError(message) from error
    return ended.returncode == 0


def log_size(layout: Layout) -> int:
    """Bytes in the server's log; 0 without one."""
    try:
        return layout.log.stat().st_size
    except FileNotFoundError:
        return 0


def log_tail(layout: Layout, start: int) -> str:
    """For people: the log's name, and the end of what it got since it had ``start`` bytes."""
    try:
        said = layout.log.read_bytes()
    except FileNotFoundError:
        said = b""
    # A log that is shorter than it was has been begun anew.
    fresh = said[start:] if start <= len(said) else said
    tail = fresh[-_LOG_TAIL_BYTES:].decode(errors="replace").strip() or "(nothing)"
    return f"its log {layout.log} ends:\n{tail}\n(end of the log)"
