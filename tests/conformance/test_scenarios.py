"""One scenario, three stages, the same assertions. Only the import root differs."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.play import Play
from tests.conformance.translation import Part, parts

PATIENCE_S = 30.0

every_scenario = pytest.mark.parametrize("part", list(parts()), ids=str)


@every_scenario
async def test_the_original_plays_the_scenario(part: Part, original: Play) -> None:
    await asyncio.wait_for(part.original()(original), PATIENCE_S)


@every_scenario
async def test_with_only_the_import_changed_it_plays_in_process(part: Part, in_process: Play) -> None:
    await asyncio.wait_for(part.translated()(in_process), PATIENCE_S)


@every_scenario
async def test_with_only_the_import_changed_it_plays_on_two_worker_processes(
    part: Part, in_two_processes: Play
) -> None:
    await asyncio.wait_for(part.translated()(in_two_processes), PATIENCE_S)


@every_scenario
async def test_unchanged_it_plays_in_process_once_distributed(part: Part, distributed_in_process: Play) -> None:
    await asyncio.wait_for(part.original()(distributed_in_process), PATIENCE_S)


@every_scenario
async def test_unchanged_it_plays_on_two_worker_processes_once_distributed(
    part: Part, distributed_in_two_processes: Play
) -> None:
    await asyncio.wait_for(part.original()(distributed_in_two_processes), PATIENCE_S)
