"""One Redis-compatible server per data directory, shared by all processes of the user."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from broker_wf.embedded.launch import launch_keeper, launch_server, log_size, log_tail
from broker_wf.embedded.layout import layout_of
from broker_wf.embedded.locks import LockFile
from broker_wf.errors import ServerStartError

_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.05
_ANSWER_WITHIN_S = 1.0
_READS_BYTES_PER_S = 5_000_000
"""At least so much of its log a server checks and reads, on a machine with much else to do."""


class BundledServer:
    """This process's use of the server of a data directory.

    Whichever process comes first starts the server; ``linger_s`` after the last has gone it stops. A use
    ends by ``release`` or with the process, however that dies; a forked child does not inherit it. Safe to
    call from many threads. All calls block.

    Args:
        data_dir: made (0700) if it is missing; holds the data, the locks and the socket.
        server_binary: the binary to start if none runs yet; None to look for one.
        linger_s: how long the server outlives its last user. That of the process that started it counts.
        runtime_dir: holds the socket when its path in ``data_dir`` would exceed 100 bytes; None for the
            system's directory for temporary files. A running server is found wherever its socket is.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        server_binary: str | None,
        linger_s: float = 3.0,
        runtime_dir: Path | None = None,
    ) -> None:
        self._layout = layout_of(data_dir, runtime_dir)
        self._server_binary = server_binary
        self._linger_s = linger_s
        # More than one only if threads joined at once. A list needs no lock, which a fork could find held.
        self._uses: list[LockFile] = []

    def acquire(self, timeout_s: float = 15.0) -> str:
        """Become a user and make sure that the server runs; joining again is still one use.

        Args:
            timeout_s: how long a server may take to start, besides what it needs to read its data.

        Returns:
            The server's URL: ``unix://`` and the percent-encoded path of its socket.

        Raises:
            ServerStartError: it does not start, or not in time. This call made nobody a user.
        """
        deadline = time.monotonic() + timeout_s + self._layout.data_bytes / _READS_BYTES_PER_S
        try:
            if any(use.is_current() for use in tuple(self._uses)):
                return self._serving(deadline)
            with ExitStack() as undo:
                use = self._join(deadline)
                undo.callback(use.close)
                url = self._serving(deadline)
                undo.pop_all()
        except OSError as error:
            message = f"the data directory {self._layout.directory} cannot be used: {error}"
            raise ServerStartError(message) from error
        self._uses.append(use)
        return url

    def ensure(self, timeout_s: float = 15.0) -> str:
        """Start the server again if it died; for a user that lost its connection.

        Returns:
            The server's URL, which may differ from the former.

        Raises:
            ServerStartError: as ``acquire``, or this is no user: a use that was given back stays so.
        """
        if not self._uses:
            raise ServerStartError("it is not in use here, acquire it first")
        return self.acquire(timeout_s)

    def release(self) -> None:
        """Be no user any more; again is harmless."""
        with suppress(IndexError):
            while True:
                self._uses.pop().close()

    def __enter__(self) -> str:
        """Acquire; the URL is the value."""
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _join(self, deadline: float) -> LockFile:
        self._layout.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in _pauses(deadline):
            use = LockFile(self._layout.users_lock)
            if use.try_shared() and use.is_current():
                use.leave_mark()
                return use
            use.close()
        raise ServerStartError(f"the one before it in {self._layout.directory} does not come to its end")

    def _serving(self, deadline: float) -> str:
        """Wait for the server's answer, having started what does not run."""
        log_start = log_size(self._layout)
        launched, log_is_whole = False, True
        for _ in _pauses(deadline):
            with ExitStack() as locks:
                keeper_lock = _taken(self._layout.keeper_lock, locks)
                server_lock = _taken(self._layout.server_lock, locks)
                if server_lock is not None and launched:
                    raise self._failed("ended while it started", log_start)
                if server_lock is not None:
                    log_is_whole = self._launch(server_lock, keeper_lock, deadline)
                    launched = True
                elif keeper_lock is not None:
                    launch_keeper(self._layout, keeper_lock, linger_s=self._linger_s)
            address = _socket_of(self._layout.server_lock)
            if server_lock is None and address is not None and _serves(address):
                if not log_is_whole:
                    _ask(address, b"BGREWRITEAOF\r\n")
                return f"unix://{quote(address)}"
        raise self._failed("does not answer in time", log_start)

    def _launch(self, server_lock: LockFile, keeper_lock: LockFile | None, deadline: float) -> bool:
        return launch_server(
            self._layout,
            server_lock,
            keeper_lock,
            explicit=self._server_binary,
            linger_s=self._linger_s,
            deadline=deadline,
        )

    def _failed(self, what: str, log_start: int) -> ServerStartError:
        return ServerStartError(f"it {what}; {log_tail(self._layout, log_start)}")


def _taken(path: Path, locks: ExitStack) -> LockFile | None:
    """The lock, ours until ``locks`` ends; None if it is held.

    A keeper's lock must only be asked for by who starts a keeper if it is free: others take a lock that is
    asked for as a sign that somebody starts one.
    """
    lock = LockFile(path)
    if lock.try_exclusive():
        locks.callback(lock.close)
        return lock
    lock.close()
    return None


def _socket_of(server_lock: Path) -> str | None:
    """Where the holder of the lock listens; None as long as it has not said."""
    _pid, _, rest = server_lock.read_bytes().partition(b"\n")
    return os.fsdecode(rest[:-1]) or None


def _serves(address: str) -> bool:
    """Whether the server takes commands; an error such as a full disk is an answer too."""
    answer = _ask(address, b"PING\r\n")
    return answer.endswith(b"\r\n") and not answer.startswith(b"-LOADING")


def _ask(address: str, command: bytes) -> bytes:
    """The first line of the answer to a command; empty if there is none."""
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_WITHIN_S)
            connection.connect(address)
            connection.sendall(command)
            while not answer.endswith(b"\r\n") and (part := connection.recv(512)):
                answer += part
    except OSError:
        return b""
    return answer


def _pauses(deadline: float) -> Iterator[None]:
    """Yield at once, and again after ever longer pauses until the deadline has passed."""
    pause_s = _FIRST_PAUSE_S
    yield
    while time.monotonic() < deadline:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
        yield
