"""Lock files whose locks end with the process that took them, and never slip into a forked child."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

# Held while a descriptor is opened or closed, and over every fork, so that the child knows all it must close.
_guard = threading.RLock()
_opened: set[LockFile] = set()


class LockFile:
    """One opening of a lock file, which is created (0600) if it is missing.

    A lock belongs to the opening, not to the process: it lasts until every copy of the descriptor is
    closed. exec closes it, and so does a fork, in the child. Two openings in one process exclude each other.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _guard:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _opened.add(self)

    @property
    def fd(self) -> int:
        """The descriptor, to hand a copy to another process; -1 when closed."""
        return self._fd

    def try_shared(self) -> bool:
        """Take the lock beside other shared holders; False if somebody holds it exclusively."""
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Take the lock alone; False if anybody holds it."""
        return self._try(fcntl.LOCK_EX)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def leave_mark(self) -> None:
        """Write down that somebody was here, for who looks at the file later."""
        os.pwrite(self._fd, os.urandom(16), 0)

    def is_current(self) -> bool:
        """Whether this is open and still the file that other processes find under the path."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))  # noqa: PTH116
        except OSError:
            return False

    def close(self) -> None:
        """Give the lock back; again is harmless."""
        with _guard:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1
            _opened.discard(self)


def _close_in_child() -> None:
    for lock in tuple(_opened):
        lock.close()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_close_in_child)
