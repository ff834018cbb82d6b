"""``runs rerun``: one run done again, or many."""

from __future__ import annotations

import click

from broker_wf import again
from broker_wf.again import Again
from broker_wf.cli.asking import as_json_option, asked, whole_id
from broker_wf.cli.failures import CONFLICT, CommandError, Failure
from broker_wf.cli.options import where
from broker_wf.cli.output import jsonable, print_json, print_text, tell
from broker_wf.inspector import Inspector
from broker_wf.inspector.searching import RunFilter


@click.command()
@click.argument("run_ids", metavar="[RUN_ID]...", nargs=-1)
@click.option("--from-step", metavar="STEP", help="From STEP on, without what was finished before it.")
@click.option("--unfinished", is_flag=True, help="Go on from what each had not finished, whichever steps that are.")
@click.option("--run-id", metavar="ID", help="Id of the new run; the same one again is the run there is.")
@click.option("--workflow", help="Without RUN_ID: what ended badly of this workflow, and was not done again.")
@click.option("--status", type=click.Choice(("completed", *again.BADLY)), help="Without RUN_ID: that ended so.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True, help="How many at most.")
@click.option("--yes", is_flag=True, help="Do it; without RUN_ID it is only told otherwise.")
@as_json_option
@where
def rerun(
    run_ids: tuple[str, ...],
    from_step: str | None,
    unfinished: bool,
    run_id: str | None,
    workflow: str | None,
    status: str | None,
    limit: int,
    yes: bool,
    as_json: bool,
    url: str | None,
    namespace: str | None,
) -> None:
    """Do runs again that have ended: whole, as new runs with the same start event, or from a step on."""
    one_only = from_step is not None or run_id is not None
    if one_only and len(run_ids) != 1:
        raise click.UsageError("--from-step and --run-id are for one RUN_ID")

    async def wish(inspector: Inspector) -> list[Again]:
        broker = inspector.broker
        if not run_ids:
            ids = await again.ended_badly(inspector, RunFilter(workflow=workflow, status=status), limit)
            return await again.rerun_each(broker, ids, unfinished=unfinished) if yes else [Again(id=one) for one in ids]
        ids = [await whole_id(inspector, one) for one in run_ids]
        if one_only:
            return [Again(id=ids[0], run_id=await again.rerun(broker, ids[0], from_step=from_step, new_id=run_id))]
        return await again.rerun_each(broker, ids, unfinished=unfinished)

    show_again(asked(url, namespace, wish), as_json=as_json, dry_run=not run_ids and not yes)


def show_again(done: list[Again], *, as_json: bool, dry_run: bool) -> None:
    """What became of each; a conflict if some were refused."""
    if as_json:
        print_json(jsonable(done))
    for one in done:
        if not as_json and one.error is None:
            print_text(one.id if one.run_id is None else f"{one.id} -> {one.run_id}")
    if dry_run:
        tell(f"{len(done)} it would be; with --yes it is done")
    refused = [Failure(code=CONFLICT, what=f"{one.id}: {one.error}") for one in done if one.error is not None]
    if refused:
        raise CommandError(*refused)
