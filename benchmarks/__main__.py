"""Measure, print every goal with its ratio, write results.json and results.md."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import version
from os import cpu_count, getloadavg
from pathlib import Path

from benchmarks.goals import Found, markdown, table
from benchmarks.large import FULL, QUICK, Sizes, collected, long_fan_out, many_runs, scale_out
from benchmarks.rig import Rig, commit, original_python, rig
from benchmarks.small import idle, start

SIZES = {"chain": 2000, "single": 300, "fan": 1000, "patient": 200, "loop": 1000, "edits": 1000, "counts": 1000}
ORIGINAL_SIZES = {**SIZES, "chain": 500}
"""The original takes as long for 500 chains as this project for 2,000; more runs at one time do not make it faster."""
BESIDE = {"counts": "edits"}
"""What the original does where it has nothing of the kind."""
HOPS = {"chain": 6000, "single": 900, "fan": 1002, "patient": 202, "loop": 1002, "edits": 102, "counts": 102}
ROUNDS = 3


def measured(engines: Rig, rounds: int) -> dict[str, list[tuple[Found, Found | None]]]:
    """Every workload, round by round, both engines in turn."""
    for workload, size in SIZES.items():
        engines.run_ours(workload, size)
    engines.crowded.run("chain", SIZES["chain"])
    found: dict[str, list[tuple[Found, Found | None]]] = {workload: [] for workload in (*SIZES, "crowded")}
    for number in range(rounds):
        for workload, size in SIZES.items():
            original = engines.original.run(BESIDE.get(workload, workload), ORIGINAL_SIZES[workload])
            ours = engines.run_ours(workload, size)
            per_hop = {
                f"{who}_us_per_hop": ours[f"{who}_cpu_s"] * 1e6 / HOPS[workload]
                for who in ("server", "workers", "driver")
            }
            found[workload].append(({**ours, **per_hop}, original))
        found["crowded"].append(beside_each_other(engines, crowded_first=number % 2 == 1))
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return found


def beside_each_other(engines: Rig, *, crowded_first: bool) -> tuple[Found, Found]:
    """The chain on workers that serve much else and on those that do not, at once: the server ages within a round."""
    pair = {"crowded": engines.crowded, "alone": engines.ours}
    order = ("crowded", "alone") if crowded_first else ("alone", "crowded")
    took = {name: pair[name].run("chain", SIZES["chain"]) for name in order}
    return took["crowded"], took["alone"]


def carried(engines: Rig, rounds: int, size: int) -> list[tuple[Found, Found | None]]:
    """Runs of 1 MB; the first ones, on processes that have had nothing so large yet, do not count."""
    engines.run_ours("carry", size // 4)
    return [(engines.run_ours("carry", size), None) for _ in range(rounds)]


def measured_once(engines: Rig, sizes: Sizes) -> dict[str, list[tuple[Found, Found | None]]]:
    """What is large, each in one round."""
    found: dict[str, list[tuple[Found, Found | None]]] = {}
    for name, measure in (
        ("collects", lambda: collected(engines, sizes.collected)),
        ("long", lambda: long_fan_out(engines, sizes.items)),
        ("many", lambda: many_runs(engines, sizes.runs)),
    ):
        began = time.monotonic()
        found[name] = [(measure(), None)]
        print(f"{name} done in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return found


def versions(engines: Rig) -> dict[str, str]:
    """What was measured, and on what."""
    listing = [
        str(original_python()),
        "-c",
        "import importlib.metadata as m; print(m.version('llama-index-workflows'))",
    ]
    info = engines.client.info("server")
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "python": platform.python_version(),
        "server": f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}",
        "redis-py": version("redis"),
        "llama-index-workflows": subprocess.run(listing, capture_output=True, text=True, check=True).stdout.strip(),
        "cores": str(cpu_count()),
    }


def main() -> None:
    """Measure, print, and write down."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    asked.add_argument("rounds", nargs="?", type=int, default=ROUNDS)
    asked.add_argument("directory", nargs="?", type=Path, default=Path("build/benchmarks"))
    asked.add_argument("--full", action="store_true", help="long fan-outs of 100,000 items and 10,000 live runs")
    given = asked.parse_args()
    sizes = FULL if given.full else QUICK
    began, busy = time.monotonic(), getloadavg()[0]
    with rig() as engines:
        found = measured(engines, given.rounds)
        found["carry"] = carried(engines, given.rounds, sizes.cargoes)
        found |= measured_once(engines, sizes)
        facts = versions(engines)
    found["scale"] = [(scale_out(sizes.burned), None)]
    found["idle"] = [(idle(), None)]
    found["start"] = [(start(), None)]
    lines = table(found)
    facts["load average"] = f"{busy:.1f} at the beginning, {getloadavg()[0]:.1f} at the end"
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    text = f"{markdown(lines)}\n\n{said}; {given.rounds} rounds, {time.monotonic() - began:.0f} s in all.\n"
    given.directory.mkdir(parents=True, exist_ok=True)
    (given.directory / "results.md").write_text(text)
    everything = {"versions": facts, "rounds": found, "goals": [vars(one) for one in lines]}
    (given.directory / "results.json").write_text(json.dumps(everything, indent=1))
    print(text)


if __name__ == "__main__":
    main()
