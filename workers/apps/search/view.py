"""What a person sees while runs go on: bars on a terminal that has rich, else lines."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import TracebackType
from typing import Protocol, cast

import click

from apps.search.events import Progress, Trail

_STEPS = ("plan", "build_shard", "indexed", "search_shard", "fuse", "compose")


class View(Protocol):
    """Shows progress beside the output proper; a context manager, so that bars are taken down at the end."""

    def __enter__(self) -> View:
        """Begin to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop showing."""
        ...

    def show(self, progress: Progress) -> None:
        """A step of the only run reported something."""
        ...

    def count(self, done: int, total: int) -> None:
        """So many of the runs have ended."""
        ...

    def write(self, text: str) -> None:
        """Put text on standard output without breaking what is shown."""
        ...


def make_view() -> View:
    """Bars if standard error is a terminal and rich is installed."""
    if sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
        return cast(View, importlib.import_module("apps.search.bars").Bars())
    return Lines()


class Lines:
    """Plain lines on standard error."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._total: dict[str, int] = {}

    def __enter__(self) -> Lines:
        """Nothing to set up."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to take down."""

    def show(self, progress: Progress) -> None:
        """A line for what a stage sets out to do, for each shard, and for the end of a stage."""
        stage = progress.stage
        self._done[stage] = self._done.get(stage, 0) + progress.done
        self._total[stage] = max(self._total.get(stage, 0), progress.total)
        if progress.total or stage == "index":
            click.echo(f"{stage}: {progress.detail} ({progress.worker})", err=True)
        if progress.done and self._done[stage] == self._total[stage]:
            click.echo(f"{stage}: {self._done[stage]} steps done", err=True)

    def count(self, done: int, total: int) -> None:
        """A line for every tenth of many runs."""
        if total > 1 and (done == total or done % max(1, total // 10) == 0):
            click.echo(f"{done} of {total} questions", err=True)

    def write(self, text: str) -> None:
        """Put text on standard output."""
        click.echo(text)


def where_table(where: Trail) -> str:
    """Workers by steps, with sums; a line for each worker."""
    names = [*_STEPS, *sorted({name for counts in where.values() for name in counts} - {*_STEPS})]
    rows = [["worker", *names, "all"]]
    for worker, counts in sorted(where.items()):
        rows.append([worker, *(str(counts.get(name, 0)) for name in names), str(sum(counts.values()))])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )
