"""The table of what the experiments measured: ``python -m tests.faults.figures <file>``, see ``experiment.py``."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

HEAD = ("experiment", "seeds", "runs", "executions", "begun again", "faults", "violations", "recovery: median, longest")


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown; experiments of one name are added up."""
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        if line["experiment"].startswith("D33"):
            continue  # Violations are what these are for.
        by_name[line["experiment"]].append(line)
    rows = [HEAD, tuple("---" for _ in HEAD), *(_row(name, some) for name, some in sorted(by_name.items()))]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(name: str, some: list[dict[str, Any]]) -> tuple[str, ...]:
    def total(what: str) -> str:
        return f"{sum(one.get(what, 0) for one in some):,}"

    all_seeds = sorted({one["seed"] for one in some})
    all_in_row = all_seeds == list(range(all_seeds[0], all_seeds[-1] + 1)) and len(all_seeds) > 2
    seeds = f"{all_seeds[0]}-{all_seeds[-1]}" if all_in_row else ", ".join(map(str, all_seeds))
    recoveries = [one["recovery_ms"] for one in some if "recovery_ms" in one]
    middle = sorted(one[0] for one in recoveries)[len(recoveries) // 2] / 1000 if recoveries else 0
    recovery = f"{middle:.1f} s, {max(one[1] for one in recoveries) / 1000:.1f} s" if recoveries else ""
    sums = (total(one) for one in ("runs", "executions", "again", "faults", "violations"))
    return (name, seeds, *sums, recovery)


if __name__ == "__main__":
    print(table([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]))
