"""The approval application on a worker that is killed in its step `publish`, before or after the file is there.

The variable ``KILLED`` says which; without it the application is as it is shipped.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from apps.approval import app
from apps.approval.app import workflow
from apps.approval.piece import Piece, publish

__all__ = ["workflow"]


def _killed(piece: Piece, folder: Path, key: str) -> tuple[Path, bool]:
    if os.environ["KILLED"] == "after":
        publish(piece, folder, key)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process that was killed goes on")


if os.environ.get("KILLED"):
    app.publish = _killed
