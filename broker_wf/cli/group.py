"""The verbs of ``broker-wf``; each is imported when it is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import TracebackType
from typing import cast

import click

from broker_wf.cli.failures import INTERRUPTED, USAGE, CommandError, Failure, failure_of
from broker_wf.cli.options import Where
from broker_wf.errors import BrokerError

_VERBS = {
    "worker": ("broker_wf.cli.worker", "Execute the steps of workflows until told to stop."),
    "serve": ("broker_wf.cli.serve", "Serve workflows over HTTP: the API, its clients, the page."),
    "run": ("broker_wf.cli.run", "Run a workflow and print its result."),
    "status": ("broker_wf.cli.inspect", "Server, workers and workflows at one glance."),
    "workers": ("broker_wf.cli.inspect", "The workers that are alive."),
    "runs": ("broker_wf.cli.inspect", "List, show, follow, cancel and repeat runs."),
    "dlq": ("broker_wf.cli.dlq", "Dead letters: what was given up on."),
    "health": ("broker_wf.cli.about", "Does the server answer, does the worker claim?"),
    "config": ("broker_wf.cli.about", "Every setting, its value and where that comes from."),
    "version": ("broker_wf.cli.about", "The version of broker-wf."),
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        return cast(click.Command, getattr(import_module(_VERBS[cmd_name][0]), cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _VERBS:
            raise click.UsageError(f"there is no verb {args[0]!r}; there are {', '.join(_VERBS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, line) in _VERBS.items()])


@click.group(cls=_Verbs, context_settings={"max_content_width": 110})
@click.option("-u", "--url", help="The server (BROKER_WF_URL); none: the bundled one.")
@click.option("-n", "--namespace", help="Prefix of every key (BROKER_WF_NAMESPACE).")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks of errors.")
@click.pass_context
def verbs(ctx: click.Context, url: str | None, namespace: str | None) -> None:
    """Workflows whose steps spread over worker processes and machines through Redis streams."""
    ctx.obj = Where(url=url, namespace=namespace)


def main(arguments: Sequence[str]) -> int:
    """Run a verb; what goes wrong is told in three lines on stderr. Returns the exit code."""
    is_verbose = "-v" in arguments or "--verbose" in arguments
    if not is_verbose:
        sys.excepthook = _tell_of_own_fault
    try:
        code: object = verbs.main(args=list(arguments), prog_name="broker-wf", standalone_mode=False)
    except click.ClickException as error:
        if error.format_message().startswith("Usage:"):
            click.echo(error.format_message(), err=True)
            return USAGE
        return _failed(error, is_verbose, Failure(code=USAGE, what=error.format_message(), mend=_help_of(error)))
    except CommandError as error:
        return _failed(error, is_verbose, *error.failures)
    except BrokerError as error:
        return _failed(error, is_verbose, failure_of(error))
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _failed(error: Exception, is_verbose: bool, *failures: Failure) -> int:
    if is_verbose:
        sys.__excepthook__(type(error), error, error.__traceback__)
    for failure in failures:
        click.echo(failure.text(), err=True)
    return failures[0].code


def _help_of(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"{ctx.command_path if ctx else 'broker-wf'} --help tells what there is."


def _tell_of_own_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    click.echo(f"Error: broker-wf failed by a fault of its own or of your code: {kind.__name__}: {error}", err=True)
    click.echo("  mend: the same command with -v shows the traceback", err=True)
