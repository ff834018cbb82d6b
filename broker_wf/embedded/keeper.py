"""Starts the server detached, and stops it when its last user has gone. Run by its path.

It imports next to nothing, since a cold start waits for it. It is given locks that are already taken, as
inherited descriptors, so that the kernel keeps the account of who lives: no pid is ever trusted alone.
"""

import fcntl
import os
import signal
import sys
import time

_TERM_PATIENCE_S = 10.0
_KILL_PATIENCE_S = 5.0
_LOOK_EVERY_S = 0.01
_MARK_BYTES = 16


def start_server(binary: str, config: str, socket: str, lock_fd: int) -> None:
    """Become the server, which holds ``lock_fd``'s lock until it dies. Returns only if that failed."""
    record = b"%d\n%s\n" % (os.getpid(), os.fsencode(socket))
    os.pwrite(lock_fd, record, 0)
    # A locale that is not installed here must not keep the server from starting.
    os.putenv("LC_ALL", "C")
    try:
        os.execv(binary, [binary, config])
    except OSError as error:
        os.write(2, f"cannot run {binary}: {error}\n".encode(errors="surrogateescape"))


def keep(users_fd: int, server_fd: int, linger_s: float) -> None:
    """Wait until nobody has used the server for ``linger_s``, then stop it.

    Whoever has come and gone meanwhile has left a mark in the lock's file.
    On return the users' lock is held exclusively: a newcomer waits until ``users_fd`` is closed.
    """
    while True:
        fcntl.flock(users_fd, fcntl.LOCK_EX)
        mark = os.pread(users_fd, _MARK_BYTES, 0)
        fcntl.flock(users_fd, fcntl.LOCK_UN)
        time.sleep(linger_s)
        if _locked(users_fd):
            if os.pread(users_fd, _MARK_BYTES, 0) == mark:
                break
            fcntl.flock(users_fd, fcntl.LOCK_UN)
    stop_server(server_fd, signal.SIGTERM, _TERM_PATIENCE_S)
    stop_server(server_fd, signal.SIGKILL, _KILL_PATIENCE_S)


def stop_server(server_fd: int, signal_number: int, patience_s: float) -> None:
    """Send the server a signal and wait until its lock is free, at most ``patience_s``.

    A lock that is held without a pid belongs to a server that is about to start: it is waited for.
    """
    deadline = time.monotonic() + patience_s
    signalled = False
    while not _locked(server_fd) and time.monotonic() < deadline:
        pid = os.pread(server_fd, 4096, 0).partition(b"\n")[0]
        if pid and not signalled:
            _signal(int(pid), signal_number)
            signalled = True
        time.sleep(_LOOK_EVERY_S)


def _signal(pid: int, signal_number: int) -> None:
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        return


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(arguments: list[str]) -> None:
    """Fork what was asked for, server, keeper or both, and return at once.

    Args:
        arguments: binary, configuration, socket, path of the users' lock, path of the server's lock,
            linger in seconds, descriptor of the taken server's lock, of the taken keeper's lock. A
            descriptor is -1 when that process runs already.
    """
    binary, config, socket, users_lock, server_lock, linger_s, server_fd, keeper_fd = arguments
    # A thread of the starting process may have blocked signals; server and keeper must hear theirs.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o077)
    os.setsid()
    if int(server_fd) >= 0 and os.fork() == 0:
        _close(int(keeper_fd))
        start_server(binary, config, socket, int(server_fd))
        os._exit(127)
    _close(int(server_fd))
    if int(keeper_fd) >= 0 and os.fork() == 0:
        os.ftruncate(int(keeper_fd), 0)
        os.pwrite(int(keeper_fd), b"%d\n" % os.getpid(), 0)
        users = os.open(users_lock, os.O_RDWR)
        keep(users, os.open(server_lock, os.O_RDWR), float(linger_s))
        # In this order: whoever joins next must find the place of the keeper free.
        _close(int(keeper_fd))
        os.close(users)


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


if __name__ == "__main__":
    main(sys.argv[1:])
