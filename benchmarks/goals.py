"""The goals, and whether what was measured reaches them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Found = Mapping[str, float]
Rounds = Mapping[str, Sequence[tuple[Found, Found | None]]]
"""By workload: what each round gave, this project's first, then the original's."""


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        ratio: of what is aimed at; None where only the value counts.
    """

    name: str
    goal: str
    ours: str
    original: str
    ratio: float | None
    holds: bool


def ours_of(rounds: Sequence[tuple[Found, Found | None]], field: str) -> float:
    """The median of this project's rounds."""
    return median(one[field] for one, _ in rounds)


def original_of(rounds: Sequence[tuple[Found, Found | None]], field: str) -> float:
    """The median of the original's rounds."""
    return median(one[field] for _, one in rounds if one is not None)


def ratio_of(rounds: Sequence[tuple[Found, Found | None]], field: str) -> float:
    """The median of the ratios within each round: what disturbs a round disturbs both."""
    return median(ours[field] / original[field] for ours, original in rounds if original is not None)


def _faster(name: str, workload: str, least: float, unit: str) -> Callable[[Rounds], Line]:
    def line(rounds: Rounds) -> Line:
        ratio = ratio_of(rounds[workload], "per_s")
        ours, original = ours_of(rounds[workload], "per_s"), original_of(rounds[workload], "per_s")
        goal = f"≥ {least:g} × the original"
        return Line(name, goal, f"{ours:,.0f} {unit}", f"{original:,.0f} {unit}", ratio, ratio >= least)

    return line


def _latency(rounds: Rounds) -> Line:
    ratio = ratio_of(rounds["single"], "p50_ms")
    ours, original, p99 = (
        ours_of(rounds["single"], "p50_ms"),
        original_of(rounds["single"], "p50_ms"),
        ours_of(rounds["single"], "p99_ms"),
    )
    goal = "p50 ≤ 0.8 × the original, p99 ≤ 3 ms"
    holds = ratio <= 0.8 and p99 <= 3
    return Line("W1L one run at a time", goal, f"{ours:.2f} ms, p99 {p99:.2f} ms", f"{original:.2f} ms", ratio, holds)


def _patience(rounds: Rounds) -> Line:
    took, ideal = ours_of(rounds["patient"], "took_s"), 0.4
    original = original_of(rounds["patient"], "took_s")
    goal = "≤ 1.07 × ideal (0.4 s)"
    ratio = took / ideal
    return Line("W3 200 waits of 0.1 s, 50 places", goal, f"{took:.3f} s", f"{original:.3f} s", ratio, ratio <= 1.07)


def _below(name: str, workload: str, field: str, most: float, unit: str) -> Callable[[Rounds], Line]:
    def line(rounds: Rounds) -> Line:
        value = ours_of(rounds[workload], field)
        return Line(name, f"≤ {most:g} {unit}", f"{value:.1f} {unit}", "", None, value <= most)

    return line


def _crowd(rounds: Rounds) -> Line:
    ratio, ours = ratio_of(rounds["crowded"], "per_s"), ours_of(rounds["crowded"], "per_s")
    alone = original_of(rounds["crowded"], "per_s")
    goal = "≥ 0.9 × without them"
    said = (f"{ours:,.0f} runs/s", f"{alone:,.0f} runs/s (ours, without)")
    return Line("W1 on workers that serve 102 steps besides", goal, *said, ratio, ratio >= 0.9)


def _cargo(rounds: Rounds) -> Line:
    ours = ours_of(rounds["carry"], "per_s")
    goal = "≥ 2 × arq (`make bench-peers`), ≥ 120 runs/s"
    return Line("W4 chain of 3 carrying 1 MB", goal, f"{ours:,.0f} runs/s", "", ours / 120, ours >= 120)


def _scale(rounds: Rounds) -> Line:
    one, four = ours_of(rounds["scale"], "1_per_s"), ours_of(rounds["scale"], "4_per_s")
    ratio, cores = ours_of(rounds["scale"], "growth"), ours_of(rounds["scale"], "cores")
    goal = f"4 processes ≥ 0.75 × {cores:.0f} cores × 1 process"
    said = f"{four:,.0f} items/s, {one:,.0f} with one"
    return Line("Scale-out, steps of 5 ms of CPU", goal, said, "", ratio, ratio >= 0.75)


def _long_time(rounds: Rounds) -> Line:
    growth, size = ours_of(rounds["long"], "growth"), ours_of(rounds["long"], "size")
    said = f"{ours_of(rounds['long'], 'per_s'):,.0f} items/s"
    name = f"Long fan-out, {size:,.0f} items: time per item beside a quarter of them"
    return Line(name, "≤ 1.15 ×", said, "", growth, growth <= 1.15)


def _long_server(rounds: Rounds) -> Line:
    held = ours_of(rounds["long"], "large_server_bytes_per_item") / 1024
    said = f"{held:.2f} KiB"
    return Line("Long fan-out: server memory per item", "≤ 1 KiB", said, "", held, held <= 1)


def _long_worker(rounds: Rounds) -> Line:
    small, large = ours_of(rounds["long"], "small_worker_mib"), ours_of(rounds["long"], "large_worker_mib")
    more = (large - small) * 1024 / (ours_of(rounds["long"], "size") * 0.75)
    said = f"{large:.0f} MiB at most beyond before, {small:.0f} MiB for a quarter"
    return Line("Long fan-out: worker memory per further item", "≤ 1 KiB", said, "", more, more <= 1)


def _submit(rounds: Rounds) -> Line:
    p99, size = ours_of(rounds["many"], "p99_ms"), ours_of(rounds["many"], "size")
    name = f"{size:,.0f} live runs: a further submit"
    return Line(name, "p99 < 50 ms", f"p99 {p99:.1f} ms", "", p99 / 50, p99 < 50)


def _live(rounds: Rounds) -> Line:
    held = ours_of(rounds["many"], "bytes_per_run") / 1024
    return Line("Live runs: server memory each", "≤ 6 KiB", f"{held:.2f} KiB", "", held / 6, held <= 6)


def _collected(rounds: Rounds) -> Line:
    growth, size = ours_of(rounds["collects"], "growth"), ours_of(rounds["collects"], "size")
    said = f"{ours_of(rounds['collects'], 'large_bytes_per_event'):,.0f} bytes"
    name = f"collect_events of {size:,.0f}: bytes moved per event beside 1,000"
    return Line(name, "≤ 1.15 ×", said, "", growth, growth <= 1.15)


def _imported(rounds: Rounds) -> Line:
    took, original = ours_of(rounds["start"], "import_ms"), ours_of(rounds["start"], "original_import_ms")
    name = "from broker_wf import Context, Workflow, step"
    return Line(name, "≤ 150 ms", f"{took:.0f} ms", f"{original:.0f} ms", took / original, took <= 150)


GOALS: tuple[Callable[[Rounds], Line], ...] = (
    _faster("W1 chain of 3, 2,000 in flight", "chain", 9.5, "runs/s"),
    _latency,
    _faster("W2 fan-out to 1,000 and one join", "fan", 45, "items/s"),
    _patience,
    _cargo,
    _faster("W5 one run, 1,000 times through a step", "loop", 1.2, "hops/s"),
    _faster("W6 1,000 edits of the state by 100 steps", "edits", 0.25, "edits/s"),
    _faster("W6 1,000 increments by 100 steps, beside its edits", "counts", 1.2, "/s"),
    _scale,
    _below("Server CPU per hop, in W1", "chain", "server_us_per_hop", 40, "µs"),
    _long_time,
    _long_server,
    _long_worker,
    _submit,
    _live,
    _collected,
    _crowd,
    _below("Idle worker that serves 50 steps: CPU", "idle", "core_percent", 1, "% of a core"),
    _below("Idle worker: connections", "idle", "connections", 6, ""),
    _imported,
    _below("broker-wf health, without a server", "start", "health_ms", 50, "ms"),
)


def table(rounds: Rounds) -> list[Line]:
    """Every goal that was measured."""
    return [goal(rounds) for goal in GOALS]


def markdown(lines: Sequence[Line]) -> str:
    """The table as Markdown."""
    rows = ["| workload | goal | this project | original | ratio | holds |", "|---|---|---|---|---|---|"]
    for one in lines:
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        cells = (one.name, one.goal, one.ours, one.original, ratio, "yes" if one.holds else "no")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)
