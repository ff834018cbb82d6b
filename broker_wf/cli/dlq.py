"""``dlq``: what was given up on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from broker_wf.again import Again, letters_like, retry_each
from broker_wf.cli import shown
from broker_wf.cli.asking import as_json_option, asked
from broker_wf.cli.options import where
from broker_wf.cli.output import print_json, print_text, tell
from broker_wf.cli.rerun import show_again
from broker_wf.errors import DeadLetterNotFoundError
from broker_wf.inspector import Inspector
from broker_wf.inspector.views import DeadLetterView, as_dict

F = TypeVar("F", bound=Callable[..., object])


def _filters(command: F) -> F:
    limit = click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True, help="At most.")
    kind = click.option("--kind", help="Only letters of this kind: poison, undecodable, …")
    step = click.option("--step", help="Only letters about this step.")
    return click.option("--workflow", help="Only letters about this workflow.")(step(kind(limit(command))))


_yes = click.option("--yes", is_flag=True, help="Do it; without LETTER it is only told otherwise.")


@click.group()
def dlq() -> None:
    """Dead letters: deliveries that were given up on, until a person has looked at them."""


@dlq.command("ls")
@_filters
@as_json_option
@where
def list_letters(
    workflow: str | None,
    step: str | None,
    kind: str | None,
    limit: int,
    as_json: bool,
    url: str | None,
    namespace: str | None,
) -> None:
    """List dead letters, newest first."""

    async def question(inspector: Inspector) -> list[DeadLetterView]:
        return await letters_like(inspector, workflow=workflow, step=step, kind=kind, limit=limit)

    found = asked(url, namespace, question)
    if as_json:
        print_json([as_dict(one) for one in found])
    else:
        shown.letters(found)


@dlq.command("show")
@click.argument("letter")
@where
def show_letter(letter: str, url: str | None, namespace: str | None) -> None:
    """Show a dead letter whole, as JSON: its event, and why it was given up on."""

    async def question(inspector: Inspector) -> DeadLetterView:
        found = next((one for one in await inspector.dead_letters(10_000) if one.id == letter), None)
        if found is None:
            raise DeadLetterNotFoundError(letter)
        return found

    print_json(as_dict(asked(url, namespace, question)))


@dlq.command("retry")
@click.argument("letters", metavar="[LETTER]...", nargs=-1)
@_filters
@_yes
@as_json_option
@where
def retry_letters(
    letters: tuple[str, ...],
    workflow: str | None,
    step: str | None,
    kind: str | None,
    limit: int,
    yes: bool,
    as_json: bool,
    url: str | None,
    namespace: str | None,
) -> None:
    """Let the runs go on, as new runs, from what was given up on; each once, however often that is asked for."""

    async def wish(inspector: Inspector) -> list[Again]:
        ids = list(letters) or await _ids(inspector, workflow, step, kind, limit)
        return await retry_each(inspector.broker, ids) if letters or yes else [Again(id=one) for one in ids]

    show_again(asked(url, namespace, wish), as_json=as_json, dry_run=not letters and not yes)


@dlq.command("drop")
@click.argument("letters", metavar="[LETTER]...", nargs=-1)
@_filters
@_yes
@where
def drop_letters(
    letters: tuple[str, ...],
    workflow: str | None,
    step: str | None,
    kind: str | None,
    limit: int,
    yes: bool,
    url: str | None,
    namespace: str | None,
) -> None:
    """Drop dead letters. Their runs have ended already, and stay as they are."""

    async def wish(inspector: Inspector) -> list[str]:
        ids = list(letters) or await _ids(inspector, workflow, step, kind, limit)
        if letters or yes:
            try:
                dropped = await inspector.broker.letters.drop(ids) if ids else 0
            except ValueError as error:
                raise click.UsageError(str(error)) from error
            tell(f"{dropped} dropped")
        return ids

    found = asked(url, namespace, wish)
    for one in found:
        print_text(one)
    if not letters and not yes:
        tell(f"{len(found)} it would be; with --yes it is done")


async def _ids(inspector: Inspector, workflow: str | None, step: str | None, kind: str | None, limit: int) -> list[str]:
    found = await letters_like(inspector, workflow=workflow, step=step, kind=kind, limit=limit)
    return [one.id for one in found]
