"""``broker-wf worker``: execute the steps of workflows, in one process or several."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

import click

from broker_wf.cli.failures import NO_SERVER, START_ERRORS, CommandError, failure_of
from broker_wf.cli.logs import FORMATS, LEVELS, set_up_logs
from broker_wf.cli.options import asked_where, duration_ms, where
from broker_wf.cli.serving import run_in_new_loop, serve
from broker_wf.cli.target import load_targets
from broker_wf.configuration import configure
from broker_wf.errors import BrokerError, SettingsError
from broker_wf.settings import Settings
from broker_wf.worker.pool import READY, SPOILED, Pool, PoolPlan, tell_parent, watch_parent
from broker_wf.worker.serving import Stops
from broker_wf.worker.worker import STEP_THREADS

_MODULE = "broker_wf"
_LINK = "--child-of"
_THREAD_PATIENCE_S = 0.1


@click.command()
@click.argument("targets", metavar="MODULE:ATTR...", nargs=-1, required=True)
@click.option("-p", "--processes", type=click.IntRange(1), help="Worker processes (BROKER_WF_PROCESSES).")
@click.option("-c", "--concurrency", type=click.IntRange(1), help="Deliveries each executes at one time.")
@click.option("--lease-ms", type=int, help="How long a delivery stays a worker's without a renewal.")
@click.option(
    "--drain-timeout",
    type=duration_ms,
    metavar="DURATION",
    help="How long steps may go on after SIGTERM: seconds, 30s, 5m.",
)
@click.option("--log-level", type=click.Choice(LEVELS, case_sensitive=False), help="BROKER_WF_LOG_LEVEL.")
@click.option("--log-format", type=click.Choice(FORMATS), default="plain", show_default=True)
@click.option(_LINK, "link", hidden=True, help="Descriptors that a parent has given this process.")
@click.option(
    "--beside", type=int, hidden=True, help="A descriptor that ends with the process this pool stands beside."
)
@where
def worker(
    targets: tuple[str, ...],
    processes: int | None,
    concurrency: int | None,
    lease_ms: int | None,
    drain_timeout: int | None,
    log_level: str | None,
    log_format: str,
    link: str | None,
    beside: int | None,
    url: str | None,
    namespace: str | None,
) -> int:
    """Execute the steps of workflows until told to stop.

    ATTR is a workflow, a workflow class or a list of them. SIGTERM or Ctrl-C drains: what is being executed may
    finish, the rest is handed back; a second one hands everything back at once.
    """
    asked = asked_where(url, namespace)
    settings = asked.settings(
        processes=processes,
        concurrency=concurrency,
        lease_ms=lease_ms,
        drain_timeout_ms=drain_timeout,
        log_level=log_level,
    )
    set_up_logs(_level(settings), log_format)
    # Nobody sits beside a worker to ask again with -v: what it dies of goes into its log whole.
    sys.excepthook = sys.__excepthook__
    faulthandler.register(signal.SIGQUIT)
    if link is not None:
        return _as_child(targets, settings, link)
    if settings.processes == 1 and beside is None:
        if _serve(targets, settings, None):
            _begin_anew()
        return 0
    # What was not given comes to the children as it came here: from the environment, where no password is seen.
    given = {
        "--concurrency": concurrency,
        "--lease-ms": lease_ms,
        "--drain-timeout": None if drain_timeout is None else f"{drain_timeout}ms",
        "--log-level": log_level,
        "--log-format": log_format,
        "--url": asked.url,
        "--namespace": asked.namespace,
    }
    return _as_parent(targets, settings, given, beside)


def _level(settings: Settings) -> str:
    level = settings.log_level.upper()
    if level not in LEVELS:
        raise SettingsError("log_level", settings.log_level, f"must be one of {', '.join(LEVELS)}")
    return level


def _serve(targets: Sequence[str], settings: Settings, report_fd: int | None) -> bool:
    """Load and serve until told to stop. True if another process should go on in its place.

    Raises:
        CommandError, BrokerError: it could not start.
    """
    configure(url=settings.url, namespace=settings.namespace)
    programs = [workflow.program() for workflow in load_targets(targets)]

    async def main() -> bool:
        stops = Stops()
        stops.listen()
        return await serve(programs, settings, lambda: _say_ready(report_fd), stops)

    is_spoiled = run_in_new_loop(main())
    if report_fd is not None or not is_spoiled:
        _leave_threads_behind(SPOILED if is_spoiled else 0)
    return is_spoiled


def _leave_threads_behind(code: int) -> None:
    """End this process now if steps in threads still run: Python would wait for them, and they were handed back."""
    for thread in threading.enumerate():
        if thread.name.startswith(STEP_THREADS):
            thread.join(_THREAD_PATIENCE_S)
            if thread.is_alive():
                logging.shutdown()
                os._exit(code)


def _begin_anew() -> None:
    """Start this very command again in this process: nobody is known to replace it, and its id stays."""
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _say_ready(report_fd: int | None) -> None:
    if report_fd is not None:
        tell_parent(report_fd, READY)


def _as_child(targets: Sequence[str], settings: Settings, link: str) -> int:
    alive_fd, report_fd = map(int, link.split(","))
    for fd in (alive_fd, report_fd):
        os.set_inheritable(fd, False)
    watch_parent(alive_fd, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        return SPOILED if _serve(targets, settings, report_fd) else 0
    except CommandError as error:
        tell_parent(report_fd, "\n".join(failure.text() for failure in error.failures).encode())
        return error.failures[0].code
    except BrokerError as error:
        failure = failure_of(error)
        tell_parent(report_fd, failure.text().encode())
        return failure.code


def _as_parent(targets: Sequence[str], settings: Settings, given: Mapping[str, object], beside: int | None) -> int:
    if beside is not None:
        os.set_inheritable(beside, False)
        watch_parent(beside, lambda: os.kill(os.getpid(), signal.SIGTERM))
    options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    plan = PoolPlan(
        command=[sys.executable, "-m", _MODULE, "worker", "--processes", "1", *options],
        link=lambda alive_fd, report_fd: [_LINK, f"{alive_fd},{report_fd}", "--", *targets],
        processes=settings.processes,
        drain_ms=settings.drain_timeout_ms,
        start_errors=START_ERRORS,
        first_errors={NO_SERVER},
    )
    return Pool(plan).run()
