"""Submit texts for approval, and answer for those who approve: from any terminal, on any machine.

    python workers/apps/approval/driver.py submit "New opening hours" "We open at nine." "Sundays we are closed."
    python workers/apps/approval/driver.py pending
    python workers/apps/approval/driver.py answer RUN --approve --by ann
    python workers/apps/approval/driver.py watch RUN

Workers must run: ``broker-wf worker apps.approval.app:workflow``. Without ``BROKER_WF_URL`` all of these use the
bundled server of this machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar, cast

if not __package__:  # started as a file: `apps` lies two folders up, and this folder's names shall not hide others
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import click

from apps.approval.app import ApprovalFlow
from apps.approval.events import Answer, ApprovalStart, Question
from broker_wf import Settings, close_homes, open_inspector
from broker_wf.errors import RunEndedError, RunNotFoundError
from broker_wf.handler import WorkflowHandler
from broker_wf.inspector.views import WaitView

T = TypeVar("T")


@click.group()
def main() -> None:
    """Texts that a person approves before they are published."""


@main.command()
@click.argument("title")
@click.argument("points", nargs=-1, required=True)
@click.option("--folder", default="published", show_default=True, help="Where workers publish it.", type=click.Path())
@click.option(
    "--patience", type=click.FloatRange(min=0, min_open=True), help="Seconds for an answer. [default: for ever]"
)
@click.option("--watch", "follow", is_flag=True, help="Stay, and show what happens.")
def submit(title: str, points: tuple[str, ...], folder: str, patience: float | None, follow: bool) -> None:
    """Have a text with TITLE and a paragraph for each of POINTS drafted; prints the id of its run."""
    start = ApprovalStart(title=title, points=list(points), folder=str(Path(folder).resolve()), patience_s=patience)

    async def submitted() -> None:
        handler = _flow().run(start_event=start)
        await handler.ctx.running_steps()  # answers once the run was accepted
        click.echo(handler.run_id)
        if follow:
            await _follow(handler)

    _run(submitted())


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each.")
def pending(as_json: bool) -> None:
    """List the texts that wait for an answer, those that wait longest first."""
    waits = _run(_pending())
    for wait in waits:
        question = _question(wait)
        if as_json:
            click.echo(json.dumps({"run_id": wait.run_id, **question.model_dump()}))
        else:
            click.echo(f"{wait.run_id}  version {question.version}\n{_shown(question)}")
    if not waits:
        click.echo("nothing waits for an answer", err=True)


@main.command()
@click.argument("run_id")
@click.option("--approve", is_flag=True, help="Publish it.")
@click.option("--comment", default="", help='Edits, a line each: "title: …", "add: …", "2: …", "drop: 2".')
@click.option("--by", default="somebody", show_default=True, help="Who answers.")
@click.option("--version", type=click.IntRange(1), help="The one you have read; refused if another one waits by now.")
def answer(run_id: str, approve: bool, comment: str, by: str, version: int | None) -> None:
    """Approve the text of RUN_ID, or have it revised; an answer that comes too late is refused."""
    if approve == bool(comment):
        raise click.UsageError("give --approve, or a --comment that says what to change")

    async def answered() -> int:
        waiting = {wait.run_id: _question(wait) for wait in await _pending()}
        question = waiting.get(run_id)
        if question is None:
            raise click.ClickException(f"run {run_id} waits for no answer; `pending` lists those that do")
        if version not in (None, question.version):
            raise click.ClickException(f"version {question.version} waits for an answer, and not {version}")
        said = Answer(version=question.version, approve=approve, comment=comment, by=by)
        await _flow().attach(run_id).send_event(said)
        return question.version

    click.echo(f"version {_run(answered())} is {'approved' if approve else 'to be revised'}")


@main.command()
@click.argument("run_id")
def watch(run_id: str) -> None:
    """Show what happens to RUN_ID from its beginning on, until it has ended."""

    async def watched() -> None:
        await _follow(_flow().attach(run_id))

    _run(watched())


async def _follow(handler: WorkflowHandler) -> None:
    async for event in handler.stream_events():
        if isinstance(event, Question):
            click.echo(f"version {event.version} waits for an answer\n{_shown(event)}")
    click.echo(json.dumps(await handler))


async def _pending() -> list[WaitView]:
    """The questions of this workflow, as the server knows them: no list of our own is kept."""
    async with open_inspector(_settings()) as inspector:
        waits = await inspector.waiting(_flow().workflow_name)
    return [wait for wait in waits if wait.question_type == Question.__name__]


def _question(wait: WaitView) -> Question:
    return Question.model_validate(cast("dict[str, object]", wait.question))


def _shown(question: Question) -> str:
    lines = [*question.text.splitlines(), *(f"(remark: {remark})" for remark in question.remarks)]
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _flow() -> ApprovalFlow:
    return ApprovalFlow(timeout=None, broker=_settings())


def _settings() -> Settings:
    """Workers execute, never this process: it may end while a run waits."""
    given = Settings.load()
    return given if given.url else Settings.load(url="bundled://")


def _run(work: Coroutine[object, object, T]) -> T:
    async def closed() -> T:
        try:
            return await work
        except (RunEndedError, RunNotFoundError) as error:
            raise click.ClickException(str(error)) from error
        finally:
            await close_homes()

    return asyncio.run(closed())


if __name__ == "__main__":
    main()
