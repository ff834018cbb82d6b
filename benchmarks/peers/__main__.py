"""Measure this project beside its peers, round by round; print the table, write peers.json and peers.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from os import cpu_count, getloadavg
from pathlib import Path
from statistics import median

from benchmarks.peers.systems import SIZES, SYSTEMS, ours
from benchmarks.rig import Driver, MissingError, commit, server

OURS = "broker_wf"
TITLES = {
    "chain": ("W1 chain of 3, runs/s", "per_s"),
    "single": ("W1L one run at a time, p50 in ms", "p50_ms"),
    "fan": ("W2 fan-out to 1,000 and one join, items/s", "per_s"),
    "carry": ("W4 chain of 3 carrying 1 MB, runs/s", "per_s"),
}
GOALS = (("chain", "bullmq", 2.5), ("fan", "bullmq", 2.0), ("carry", "arq", 2.0))

Round = dict[str, dict[str, float]]
Started = AbstractContextManager[tuple[Driver, Mapping[str, str]]]


def measured(started: Started, sizes: Mapping[str, int], facts: dict[str, str]) -> Round:
    """Every workload once, warmed up."""
    with started as (driver, versions):
        facts.update(versions)
        for workload, size in sizes.items():
            driver.run(workload, min(20, size // 3))
        return {workload: driver.run(workload, size) for workload, size in sizes.items()}


def rounds_of(count: int, names: Iterable[str], facts: dict[str, str]) -> dict[str, list[Round]]:
    """All systems in turn, round after round. Those that fail are left out from then on; ``facts`` says why."""
    wanted = {one.name: one for one in SYSTEMS if one.name in set(names)}
    sizes = {OURS: SIZES, **{name: system.sizes for name, system in wanted.items()}}
    with server(port=True) as url:
        starts = {OURS: partial(ours, url)}
        for name, system in wanted.items():
            try:
                system.install()
                starts[name] = partial(system.ready, url)
            except MissingError as error:
                facts[name] = f"skipped: {error}"
        found: dict[str, list[Round]] = defaultdict(list)
        for number in range(count):
            for name in list(starts):
                try:
                    found[name].append(measured(starts[name](), sizes[name], facts))
                except (MissingError, SystemExit) as error:
                    facts[name] = f"skipped: {error}"
                    del starts[name]
            print(f"round {number + 1} of {count} done", file=sys.stderr)
    return {name: rounds for name, rounds in found.items() if len(rounds) == count}


def markdown(found: Mapping[str, list[Round]]) -> str:
    """Medians, and how many times faster this project is: the median of the ratios within each round."""
    names = list(found)
    lines = [f"| workload | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for workload, (title, field) in TITLES.items():
        cells: list[str] = []
        for name in names:
            value = median(one[workload][field] for one in found[name])
            shown = f"{value:,.2f}" if field == "p50_ms" else f"{value:,.{int(value < 10)}f}"
            cells.append(shown if name == OURS else f"{shown} ({ratio(found, workload, name):.2f} ×)")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    fewer = [one for one in SYSTEMS if one.name in found and one.sizes != SIZES]
    lines += [f"\nSizes: {listed(one.sizes)} for {one.name}, {listed(SIZES)} for the others." for one in fewer]
    lines += ["", "| goal | ratio | holds |", "|---|---|---|"]
    for workload, name, least in GOALS:
        if name in found:
            reached = ratio(found, workload, name)
            holds = "yes" if reached >= least else "no"
            lines.append(f"| {TITLES[workload][0]}: ≥ {least:g} × {name} | {reached:.2f} | {holds} |")
        else:
            lines.append(f"| {TITLES[workload][0]}: ≥ {least:g} × {name} | | not measured |")
    return "\n".join(lines)


def listed(sizes: Mapping[str, int]) -> str:
    """What a round of each workload consists of."""
    return ", ".join(f"{workload} {size:,}" for workload, size in sizes.items())


def ratio(found: Mapping[str, list[Round]], workload: str, name: str) -> float:
    """How many times faster this project is."""
    field = TITLES[workload][1]
    pairs = zip(found[OURS], found[name], strict=True)
    ratios = [mine[workload][field] / theirs[workload][field] for mine, theirs in pairs]
    return median(1 / one if field == "p50_ms" else one for one in ratios)


def main() -> None:
    """Measure, print, and write down."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    asked.add_argument("rounds", nargs="?", type=int, default=3)
    asked.add_argument("directory", nargs="?", type=Path, default=Path("build/benchmarks"))
    asked.add_argument("--only", action="append", help="a peer; may be given several times")
    given = asked.parse_args()
    began, busy, facts = time.monotonic(), getloadavg()[0], dict[str, str]()
    found = rounds_of(given.rounds, given.only or [one.name for one in SYSTEMS], facts)
    facts |= {"commit": commit(), "cores": str(cpu_count())}
    facts["load average"] = f"{busy:.1f} at the beginning, {getloadavg()[0]:.1f} at the end"
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    text = f"{markdown(found)}\n\n{said}; {given.rounds} rounds in {time.monotonic() - began:.0f} s.\n"
    given.directory.mkdir(parents=True, exist_ok=True)
    (given.directory / "peers.md").write_text(text)
    (given.directory / "peers.json").write_text(json.dumps({"versions": facts, "rounds": found}, indent=1))
    print(text)


if __name__ == "__main__":
    main()
