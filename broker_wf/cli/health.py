"""``broker-wf health``: does the server answer, does the worker claim. Imports neither pydantic nor redis."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from broker_wf.address import Address, variable
from broker_wf.cli.ping import ping
from broker_wf.errors import SettingsError, without_password

USAGE = "Usage: broker-wf health [--worker] [--url URL]"

_FRESH_S = 15.0


def main(arguments: Sequence[str]) -> int:
    """Check, and say what was found.

    Returns:
        0 healthy, 1 the worker is not, 2 usage, 4 the server is not.
    """
    try:
        url, of_worker = _parsed(arguments)
        return _worker_health(variable("health_file")) if of_worker else _server_health(Address.load(url))
    except (ValueError, SettingsError) as error:
        return _say(2, str(error), "", USAGE)


def _parsed(arguments: Sequence[str]) -> tuple[str | None, bool]:
    url, of_worker, rest = None, False, list(arguments)
    while rest:
        name, is_given, value = rest.pop(0).partition("=")
        if name == "--worker":
            of_worker = True
        elif name in ("--url", "-u", "--namespace", "-n"):
            value = value if is_given else rest.pop(0) if rest else ""
            if not value:
                raise ValueError(f"option {name} needs a value")
            url = value if name in ("--url", "-u") else url
        elif name not in ("-v", "--verbose"):
            raise ValueError(f"there is no option or argument {name!r}")
    return url, of_worker


def _say(code: int, what: str, why: str, mend: str) -> int:
    lines = [f"Error: {what}", *([f"  why:  {why}"] if why else ()), *([f"  mend: {mend}"] if mend else ())]
    sys.stderr.write("\n".join(lines) + "\n")
    return code


def _worker_health(file: str | None) -> int:
    if file is None:
        cure = "Set BROKER_WF_HEALTH_FILE to the same path for the worker and for this command."
        return _say(2, "no health file is set", "the worker would touch it while its claim loop is alive", cure)
    path = Path(file)
    try:
        age_s = time.time() - path.stat().st_mtime
    except OSError as error:
        return _say(1, f"no worker has touched {path}", str(error), "Is the worker running, with the same path?")
    if age_s > _FRESH_S:
        cure = "Look at the worker's log: it hangs, has ended, or cannot reach its server."
        return _say(1, "the worker is not well", f"{path} was last touched {age_s:.0f} s ago", cure)
    sys.stdout.write(f"ok: {path} was touched {max(age_s, 0):.0f} s ago\n")
    return 0


def _server_health(server: Address) -> int:
    url = _address_of_bundled(server) if server.is_bundled else server.full_url
    if url is None:
        cure = "It starts with the first worker or run. For another server give --url or BROKER_WF_URL."
        return _say(4, "the bundled server does not run", f"nobody uses it in {server.data_dir}", cure)
    shown = without_password(url)
    try:
        answer = ping(url)
    except OSError as error:
        return _say(4, f"no server answers at {shown}", str(error), "Is it running, and is BROKER_WF_URL right?")
    if answer != "+PONG":
        return _say(4, f"the server at {shown} is not ready", answer.lstrip("-"), "")
    sys.stdout.write(f"ok: {shown} answers\n")
    return 0


def _address_of_bundled(server: Address) -> str | None:
    """Where the bundled server listens; None if it does not run. It is not started."""
    try:
        path = server_lock(server.data_dir).read_text("utf-8").splitlines()[1]
    except (OSError, IndexError):
        return None
    return f"unix://{path}"


def server_lock(data_dir: Path) -> Path:
    """As ``embedded.layout`` has it, whose import would take longer than the whole check."""
    return data_dir / "server.lock"
