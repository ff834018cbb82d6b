"""What ``make demo`` runs: two workers on the bundled server, one question, and where each step ran."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_WORKERS = Path(__file__).resolve().parents[2]
_DRIVER = Path(__file__).with_name("driver.py")
_COMMAND = Path(sys.executable).with_name("broker-wf")
_TARGET = "apps.search.app:workflow"
_PROCESSES = 2
_START_S = 20.0
_ANSWER_S = 50.0
_DRAIN_S = 15.0
_QUESTION = "How can I merge sorted iterables into one?"


class DemoError(Exception):
    """The demonstration cannot go on; the text says why and shows the workers' last words."""


def main() -> int:
    """Show one run.

    Returns:
        The exit code: 0 if the question was answered.
    """
    signal.signal(signal.SIGTERM, _stop)
    began = time.perf_counter()
    question = " ".join(sys.argv[1:]) or _QUESTION
    with tempfile.TemporaryDirectory(prefix="bwf-", ignore_cleanup_errors=True) as folder:
        environment = _environment(Path(folder))
        try:
            log = Path(folder) / "worker.log"
            with _workers(environment, log) as worker:
                code = _ask(question, environment, worker, log)
        except DemoError as error:
            _say(f"demo: {error}")
            return 1
    _say(f"demo: {time.perf_counter() - began:.1f} s in all, with starting and stopping the workers")
    return code


def _environment(folder: Path) -> dict[str, str]:
    """The bundled server on data of its own, so that no worker of the user takes the demo's work."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_WF_")}
    binary = os.environ.get("BROKER_WF_SERVER_BIN")
    chosen = {"BROKER_WF_SERVER_BIN": binary} if binary else {}
    return {
        **kept,
        **chosen,
        "BROKER_WF_URL": "bundled://",
        "BROKER_WF_DATA": str(folder / "data"),
        "PYTHONPATH": os.pathsep.join([str(_WORKERS), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


@contextmanager
def _workers(environment: dict[str, str], log: Path) -> Generator[subprocess.Popen[bytes], None, None]:
    """Two worker processes under one command, stopped by SIGTERM at the end."""
    arguments = [str(_COMMAND), "worker", _TARGET, "--processes", str(_PROCESSES)]
    _say(f"demo: {' '.join(['broker-wf', *arguments[1:]])}")
    with log.open("w") as output:
        worker = subprocess.Popen(
            arguments, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_ready(worker, environment, log)
        yield worker
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(_DRAIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def _ask(question: str, environment: dict[str, str], worker: subprocess.Popen[bytes], log: Path) -> int:
    """Run the driver.

    Returns:
        Its exit code.

    Raises:
        DemoError: the workers ended meanwhile, or there is no answer in time.
    """
    driver = subprocess.Popen([sys.executable, str(_DRIVER), question], env=environment)
    try:
        end = time.monotonic() + _ANSWER_S
        while driver.poll() is None:
            if worker.poll() is not None:
                raise DemoError(f"the workers ended with code {worker.returncode}:\n{_tail(log)}")
            if time.monotonic() > end:
                raise DemoError(f"no answer after {_ANSWER_S:.0f} s:\n{_tail(log)}")
            time.sleep(0.05)
    finally:
        driver.kill()
        driver.wait()
    return driver.returncode


def _wait_until_ready(worker: subprocess.Popen[bytes], environment: dict[str, str], log: Path) -> None:
    """Return when both processes are on the roster: a short run could be over before the second is up.

    Raises:
        DemoError: the workers ended, or are not there in time.
    """
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if worker.poll() is not None:
            raise DemoError(f"the workers ended with code {worker.returncode}:\n{_tail(log)}")
        if _alive(environment) >= _PROCESSES:
            return
        time.sleep(0.1)
    raise DemoError(f"the workers were not ready after {_START_S:.0f} s:\n{_tail(log)}")


def _alive(environment: dict[str, str]) -> int:
    listed = subprocess.run([_COMMAND, "workers", "ls", "--json"], env=environment, capture_output=True, check=False)
    return len(json.loads(listed.stdout)) if listed.returncode == 0 else 0


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def _stop(number: int, _: FrameType | None) -> None:
    """Leave by an exception, so that the workers are stopped on the way out."""
    sys.exit(128 + number)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
