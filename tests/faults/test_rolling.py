"""Workers of two versions side by side, and one version in place of the other, there and back."""

from __future__ import annotations

import asyncio

import pytest

from tests.apps.loads import Load
from tests.apps.rolling import first, second
from tests.faults.experiment import Experiment
from tests.faults.records import Records

LOADS = {
    "first": Load(first, lambda _: [1, 0, 1, 2], lambda _: 5),
    "second": Load(second, lambda _: [2, 0, 1, 2], lambda _: 8),
}
RUNS, RUNS_AT_NIGHT = 25, 125


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [RUNS, pytest.param(RUNS_AT_NIGHT, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(("old", "new"), [("first", "second"), ("second", "first")])
async def test_runs_keep_to_the_version_they_began_with_while_the_other_takes_over(
    records: Records, old: str, new: str, count: int
) -> None:
    experiment, cluster = Experiment(records, f"D28 {old} and {new} version"), records.cluster

    def begin(what: str, version: str) -> None:
        experiment.begin(LOADS[version], 3, [f"{what}{n}" for n in range(count)])

    (going,) = experiment.workers(1, serves=old)
    begin("before", old)
    experiment.workers(1, serves=new)
    experiment.fault()
    begin("new", new)
    begin("beside", old)
    await experiment.all_over()
    begin("late", old)
    going.terminate()
    experiment.fault()
    assert await asyncio.to_thread(going.wait, 30) == 0
    experiment.workers(1, serves=old)
    assert await experiment.violations() == []
    assert cluster.client.xlen(cluster.keys.of("dead")) == 0
