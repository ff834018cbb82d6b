"""``status``, ``workers`` and ``runs``: what a namespace holds."""

from __future__ import annotations

import asyncio

import click

from broker_wf.cli import shown
from broker_wf.cli.asking import as_json_option, asked, whole_id
from broker_wf.cli.failures import CONFLICT, CommandError, Failure
from broker_wf.cli.options import asked_where, duration_ms, where
from broker_wf.cli.output import print_json, print_line, print_text
from broker_wf.cli.rerun import rerun
from broker_wf.core.clock import SystemClock
from broker_wf.core.ids import RunId
from broker_wf.driver.client import open_client
from broker_wf.inspecting import opened_broker
from broker_wf.inspector import Inspector, searching
from broker_wf.inspector.logs import LEVELS, follow_logs, read_logs
from broker_wf.inspector.unserved import unserved_runs
from broker_wf.inspector.views import LogView, StatusView, UnservedView, as_dict, moment
from broker_wf.settings import Settings

_EVENTS_AT_ONCE = 100
_ALL_LINES = 1_000_000
_STATUSES = ("running", "queued", "completed", "failed", "cancelled", "timed_out")


@click.command()
@as_json_option
@where
def status(as_json: bool, url: str | None, namespace: str | None) -> None:
    """Server, workers, what waits and runs of each workflow, and runs that no live worker can execute."""

    async def question(inspector: Inspector) -> tuple[StatusView, tuple[UnservedView, ...]]:
        return await inspector.status(), await unserved_runs(inspector.broker)

    view, unserved = asked(url, namespace, question)
    if as_json:
        print_json({**as_dict(view), "unserved": [as_dict(one) for one in unserved]})
    else:
        shown.status(view, unserved)


@click.group()
def workers() -> None:
    """The workers that are alive."""


@workers.command("ls")
@as_json_option
@where
def list_workers(as_json: bool, url: str | None, namespace: str | None) -> None:
    """List the workers: where they are, what they serve, what they do."""
    views = asked(url, namespace, lambda inspector: inspector.workers())
    if as_json:
        print_json([as_dict(view) for view in views])
    else:
        shown.workers(views)


@click.group()
def runs() -> None:
    """List, show, follow, cancel and repeat runs. Ids may be cut short as long as they fit one run only."""


@runs.command("ls")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--status", "wanted", type=click.Choice(_STATUSES), help="Only runs that stand so.")
@click.option("--since", type=duration_ms, metavar="DURATION", help="Accepted or ended so long ago at most: 15m, 2h.")
@click.option("--tag", "tags", metavar="NAME=VALUE", multiple=True, help="Only runs with this tag, or all of several.")
@click.option("--error", metavar="TEXT", help="Only runs with an error whose class or text contains TEXT.")
@click.option("--longer-than", type=duration_ms, metavar="DURATION", help="Only runs that take longer: 500ms, 30s.")
@click.option("--search", metavar="TEXT", help="Only runs whose id or workflow contains TEXT.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@click.option("--before", metavar="CURSOR", help="What follows the run of this cursor (see --json).")
@as_json_option
@where
def list_runs(
    workflow: str | None,
    wanted: str | None,
    since: int | None,
    tags: tuple[str, ...],
    error: str | None,
    longer_than: int | None,
    search: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
    url: str | None,
    namespace: str | None,
) -> None:
    """List runs, newest first."""

    async def question(inspector: Inspector) -> list[dict[str, object]] | None:
        try:
            views = (await searching.search(inspector, fitting(), limit, before)).runs
        except ValueError as fault:
            raise click.UsageError(str(fault)) from fault
        if as_json:
            return [as_dict(view) for view in views]
        shown.runs(views)
        return None

    def fitting() -> searching.RunFilter:
        return searching.RunFilter(
            workflow=workflow,
            status=wanted,
            since=None if since is None else moment(SystemClock().now_ms() - since),
            q=search,
            tags=searching.tags_from(tags),
            error=error,
            longer_than_s=None if longer_than is None else longer_than / 1000,
        )

    found = asked(url, namespace, question)
    if found is not None:
        print_json(found)


@runs.command("waiting")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True, help="Live runs to look at.")
@as_json_option
@where
def list_waiting(workflow: str | None, limit: int, as_json: bool, url: str | None, namespace: str | None) -> None:
    """List what runs wait for and have asked, those that wait longest first."""
    views = asked(url, namespace, lambda inspector: inspector.waiting(workflow, limit))
    if as_json:
        print_json([as_dict(view) for view in views])
    else:
        shown.waits(views)


@runs.command()
@click.argument("run_id")
@as_json_option
@where
def show(run_id: str, as_json: bool, url: str | None, namespace: str | None) -> None:
    """Show how a run stands: result or error, deliveries by step."""

    async def question(inspector: Inspector) -> dict[str, object] | None:
        view = await inspector.run(await whole_id(inspector, run_id))
        if as_json:
            return as_dict(view)
        shown.run(view)
        return None

    found = asked(url, namespace, question)
    if found is not None:
        print_json(found)


@runs.command()
@click.argument("run_id")
@click.option("-F", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--after", type=click.IntRange(0), default=0, help="Begin behind this sequence number.")
@click.option("--json", is_flag=True, expose_value=False, help="JSON lines, which is how they are printed anyway.")
@where
def events(run_id: str, follow: bool, after: int, url: str | None, namespace: str | None) -> None:
    """Print the events that a run has published, one line of JSON each."""
    settings = asked_where(url, namespace).settings()
    asyncio.run(_print_events(settings, run_id, after, follow))


async def _print_events(settings: Settings, run_id: str, after: int, follow: bool) -> None:
    async with opened_broker(settings) as broker:
        inspector = Inspector(broker)
        found = await whole_id(inspector, run_id)
        if follow:
            client = open_client(broker)
            try:
                async for entry in client.events(found, after):
                    for view in await inspector.events_of(found, entry):
                        print_line(as_dict(view))
            finally:
                await client.close()
            return
        while page := await inspector.events(found, after, _EVENTS_AT_ONCE):
            for view in page:
                print_line(as_dict(view))
            after = page[-1].seq


@runs.command()
@click.argument("run_id")
@click.option("-F", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--after", metavar="CURSOR", default="", help="Begin behind the line of this cursor (see --json).")
@click.option("--step", help="Only lines of this step.")
@click.option(
    "--level", type=click.Choice(tuple(LEVELS), case_sensitive=False), default="DEBUG", help="Only these and above."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, a line each.")
@where
def logs(
    run_id: str,
    follow: bool,
    after: str,
    step: str | None,
    level: str,
    as_json: bool,
    url: str | None,
    namespace: str | None,
) -> None:
    """Print what the steps of a run have logged."""

    async def question(inspector: Inspector) -> None:
        found, broker = await whole_id(inspector, run_id), inspector.broker
        put = _put_as_json if as_json else shown.log_line
        if follow:
            async for line in follow_logs(broker, found, after=after, step=step, level=level):
                put(line)
            return
        lines, _ = await read_logs(broker, found, after=after, limit=_ALL_LINES, step=step, level=level)
        for line in lines:
            put(line)

    try:
        asked(url, namespace, question)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _put_as_json(line: LogView) -> None:
    print_line(as_dict(line))


@runs.command()
@click.argument("run_id")
@as_json_option
@where
def cancel(run_id: str, as_json: bool, url: str | None, namespace: str | None) -> None:
    """Cancel a run. One that is cancelled already stays so; one that ended otherwise is a conflict."""

    async def question(inspector: Inspector) -> tuple[RunId, str]:
        found = await whole_id(inspector, run_id)
        return found, await inspector.broker.runs.cancel(found)

    found, outcome = asked(url, namespace, question)
    if outcome != "cancelled":
        raise CommandError(
            Failure(code=CONFLICT, what=f"run {found} cannot be cancelled", why=f"it has ended already: {outcome}")
        )
    if as_json:
        print_json({"run_id": found, "status": outcome})
    else:
        print_text(f"{found} {outcome}")


runs.add_command(rerun)
