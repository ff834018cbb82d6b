"""Progress bars on a terminal; imported only where rich is installed."""

from __future__ import annotations

import sys
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from apps.search.events import Progress


class Bars:
    """A bar for each stage of a single run, or one bar for many runs; on standard error."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.fields[stage]:>9}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), redirect_stdout=False)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        """Draw."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the bars as they stand."""
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Advance the stage's bar."""
        task = self._task(progress.stage)
        self._bar.update(task, advance=progress.done, description=f"{progress.detail}  {progress.worker}")
        if progress.total:
            self._bar.update(task, total=progress.total)

    def count(self, done: int, total: int) -> None:
        """Move the bar of many runs; for a single one, the answer is the last thing to be done."""
        if total > 1:
            self._bar.update(self._task("questions"), completed=done, total=total)
        else:
            self._bar.update(self._task("answer"), completed=1, total=1)

    def write(self, text: str) -> None:
        """Put text on standard output: above the bars where that is the terminal, too, else past them."""
        if sys.stdout.isatty():
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(text)

    def _task(self, stage: str) -> TaskID:
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task("", total=None, stage=stage)
        return self._tasks[stage]
