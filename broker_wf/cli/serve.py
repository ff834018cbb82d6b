"""``broker-wf serve``: workflows over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click

from broker_wf.cli.failures import USAGE, CommandError, Failure
from broker_wf.cli.logs import FORMATS, set_up_logs
from broker_wf.cli.options import asked_where, from_file, where
from broker_wf.cli.target import load_targets
from broker_wf.configuration import configure

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NEEDED = ("starlette", "uvicorn")
_STOPS_WITHIN_S = 30.0


@click.command()
@click.argument("targets", metavar="MODULE:ATTR...", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any that is free.")
@click.option("--token", envvar="BROKER_WF_TOKEN", help="Who shows it may do everything (BROKER_WF_TOKEN).")
@click.option("--read-token", envvar="BROKER_WF_READ_TOKEN", help="Who shows it may look (BROKER_WF_READ_TOKEN).")
@from_file("token")
@from_file("read-token")
@click.option("--insecure", is_flag=True, help="Listen at an address of the network although there is no token.")
@click.option("--read-only", is_flag=True, help="Nobody may do more than look.")
@click.option("--root-path", default="", help="Where a proxy mounts the server.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Worker processes to start beside the server.")
@click.option("--no-run-keepalive", is_flag=True, help="Answer a /run at its end, however late that is.")
@click.option("--allow-origin", "origins", multiple=True, help="A site whose pages may ask, without credentials.")
@click.option("--max-body", type=click.IntRange(1), default=32 * 1024 * 1024, show_default=True, help="Bytes.")
@click.option("--rate", type=click.IntRange(0), default=0, help="Requests of one address per second. [default: any]")
@click.option(
    "--debugger-assets",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Files of @llamaindex/workflow-debugger, to be served at /debugger/.",
)
@click.option("--log-format", type=click.Choice(FORMATS), default="plain", show_default=True)
@where
def serve(
    targets: tuple[str, ...],
    host: str,
    port: int,
    token: str | None,
    read_token: str | None,
    insecure: bool,
    read_only: bool,
    root_path: str,
    workers: int,
    no_run_keepalive: bool,
    origins: tuple[str, ...],
    max_body: int,
    rate: int,
    debugger_assets: Path | None,
    log_format: str,
    url: str | None,
    namespace: str | None,
) -> int:
    """Serve workflows over HTTP until told to stop.

    The runs of all workflows of the namespace can be looked at; those of TARGETS can be started and answered. Steps
    execute on workers, elsewhere or, with --workers, beside the server. Without a token only this machine may ask.
    """
    is_open = token is None and read_token is None
    if is_open and host not in _LOOPBACK and not insecure:
        _refuse(f"{host} can be reached from elsewhere, and there is no token", "Give --token, or say --insecure.")
    _must_be_installed()
    _must_be_there(debugger_assets)
    settings = asked_where(url, namespace).settings()
    configure(url=settings.url, namespace=settings.namespace)
    set_up_logs(settings.log_level.upper(), log_format)
    server = import_module("broker_wf.server")
    options = server.ServerOptions(
        token=token,
        read_token=read_token,
        read_only=read_only,
        allowed_hosts=_LOOPBACK if is_open and not insecure else None,
        allowed_origins=origins,
        run_keepalive=not no_run_keepalive,
        max_body_bytes=max_body,
        rate=rate,
        debugger_assets=debugger_assets,
        root_path=root_path,
    )
    app = server.create_app(load_targets(targets), options=options)
    serving = import_module("broker_wf.server.serving")
    serving.take_all_files()
    listening = serving.server_for(app, app.state.service, host, port, {"log_config": None, "access_log": False})
    with _workers_beside(targets, workers, settings.url, settings.namespace):
        # uvicorn hears these itself, and raises them once more when it has stopped: the workers are still to be ended.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _has_stopped)
        asyncio.run(listening.serve())
    return 0


def _must_be_installed() -> None:
    for name in _NEEDED:
        if find_spec(name) is None:
            _refuse(f"{name} is not installed", "pip install 'broker-wf[server]'")


def _must_be_there(assets: Path | None) -> None:
    """Refuse a folder without the files of the debugger."""
    if assets is None:
        return
    try:
        import_module("broker_wf.server.page.debugger").assets_of(assets)
    except FileNotFoundError as error:
        _refuse(str(error), "Fetch it with: npm pack @llamaindex/workflow-debugger, and unpack what comes.")


def _has_stopped(number: int, frame: object) -> None:
    """Nothing more is to be done about a signal."""


def _refuse(what: str, mend: str) -> NoReturn:
    raise CommandError(Failure(code=USAGE, what=what, mend=mend))


@contextmanager
def _workers_beside(targets: Sequence[str], count: int, url: str | None, namespace: str) -> Generator[None, None, None]:
    """Worker processes that end with this one, also if it is killed: their parent holds the end of a pipe of ours.

    It replaces those that die.
    """
    if count and not targets:
        _refuse("--workers has nothing to execute", "Name the workflows: MODULE:ATTR.")
    alive_fd, held_fd = os.pipe()
    # The password of a URL is for nobody to see who lists processes.
    environment = {**_environment(), "BROKER_WF_NAMESPACE": namespace, **({"BROKER_WF_URL": url} if url else {})}
    pool = _pool(targets, count, alive_fd, environment) if count else None
    os.close(alive_fd)
    try:
        yield
    finally:
        os.close(held_fd)
        if pool is not None:
            try:
                pool.wait(_STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                pool.kill()
                pool.wait()


def _environment() -> dict[str, str]:
    return dict(os.environ)


def _pool(targets: Sequence[str], count: int, alive_fd: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in a terminal is for the server, whose end it hears of.
    command = [sys.executable, "-m", "broker_wf", "worker", "--processes", str(count), "--beside", str(alive_fd)]
    return subprocess.Popen(
        [*command, "--", *targets],
        stdin=subprocess.DEVNULL,
        pass_fds=(alive_fd,),
        env=environment,
        start_new_session=True,
    )
