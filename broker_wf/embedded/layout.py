"""Where the bundled server's files are, and what stands in its configuration."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from broker_wf.errors import ServerStartError

SOCKET_PATH_MAX_BYTES = 100
"""What a socket's address holds on every system: 108 bytes on Linux, 104 on macOS, the ending zero too."""

_CONFIG = """\
port 0
unixsocket {socket}
unixsocketperm 700
dir {directory}
daemonize no
appendonly yes
appendfsync everysec
save ""
aof-use-rdb-preamble no
aof-load-truncated yes
maxmemory-policy noeviction
lazyfree-lazy-expire yes
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The paths of one data directory.

    Attributes:
        directory: the data directory, absolute and without symlinks.
        socket: in the directory, or elsewhere when that path were too long for a socket.
    """

    directory: Path
    socket: Path

    @property
    def users_lock(self) -> Path:
        """Held shared by each process that uses the server; exclusively by a keeper that stops it."""
        return self.directory / "users.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server as long as it lives. Holds its pid and its socket's path, a line each."""
        return self.directory / "server.lock"

    @property
    def keeper_lock(self) -> Path:
        """Held by the keeper as long as it lives. Holds its pid, for people."""
        return self.directory / "keeper.lock"

    @property
    def config(self) -> Path:
        """The server's configuration, written anew at every start."""
        return self.directory / "server.conf"

    @property
    def log(self) -> Path:
        """What server, log checker and keeper print."""
        return self.directory / "server.log"

    @property
    def data_bytes(self) -> int:
        """What a server has to read before it answers; 0 where there is nothing yet."""
        try:
            return sum(one.stat().st_size for one in self.manifest.parent.iterdir())
        except OSError:  # Nothing there, or the log is being rewritten: then a server runs.
            return 0

    @property
    def manifest(self) -> Path:
        """The list of the append-only files, the server's own."""
        return self.directory / "appendonlydir" / "appendonly.aof.manifest"


def layout_of(data_dir: Path, runtime_dir: Path | None) -> Layout:
    """Name the files of a data directory; touches none.

    Args:
        data_dir: need not exist yet.
        runtime_dir: where the socket goes when its path would be too long; None is the system's
            directory for temporary files.
    """
    directory = data_dir.resolve()
    socket = directory / "s.sock"
    if len(os.fsencode(socket)) > SOCKET_PATH_MAX_BYTES:
        digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
        parent = runtime_dir or Path(tempfile.gettempdir())
        socket = parent / f"broker-wf-{os.getuid()}" / f"{digest}.sock"
    return Layout(directory=directory, socket=socket)


def make_private(directory: Path) -> None:
    """Create a directory that only this user may enter, or check that the present one is such.

    Raises:
        ServerStartError: it is a symlink, somebody else's, or open to others.
        OSError: it cannot be created.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    mode_is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not mode_is_private or found.st_uid != os.getuid():
        message = f"{directory} must be a directory of this user that nobody else may enter (chmod 700)"
        raise ServerStartError(message)


def config_text(layout: Layout) -> bytes:
    """Write down the server's configuration."""
    return os.fsencode(_CONFIG.format(socket=_quoted(layout.socket), directory=_quoted(layout.directory)))


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
