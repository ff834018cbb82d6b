"""Runs done again, and dead letters retried, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from broker_wf.settings import Settings
from tests.apps.mended import FLOWS
from tests.integration.console import Console, lines
from tests.page.served import ServerThread

API = "/api/v1"
OPTIONS = {"tags": {"customer": "7"}, "priority": "high"}
"""What every run is started with that is done again here."""
FRAGILE, DEADLY = (f"tests.apps.mended.{flow.__name__}" for flow in FLOWS)


@dataclass
class Api:
    client: httpx.AsyncClient
    folder: Path

    async def get(self, path: str) -> Any:
        answer = await self.client.get(API + path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = await self.client.post(API + path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def start(self, workflow: str, run_id: str) -> None:
        event = {"folder": str(self.folder)}
        await self.post("/runs", workflow=workflow, run_id=run_id, event=event, **OPTIONS)

    async def has_all_of(self, run_id: str, workflow: str) -> None:
        """Whether a run is found, and shown, with what the first one of the workflow was started with."""
        run = (await self.get(f"/runs/{run_id}"))["run"]
        assert {name: run[name] for name in OPTIONS} == OPTIONS
        found = (await self.get(f"/runs?tag=customer=7&workflow={workflow}"))["runs"]
        assert run_id in {one["run_id"] for one in found}

    async def stands(self, run_id: str, status: str) -> Any:
        """The run, once it stands so."""
        for _ in range(1500):
            answer = await self.client.get(f"{API}/runs/{run_id}")
            if answer.status_code == 200 and answer.json()["run"]["status"] == status:
                return answer.json()["run"]
            await asyncio.sleep(0.02)
        raise AssertionError(f"{run_id} is not {status}")

    def mend(self) -> None:
        (self.folder / "mended").touch()

    @property
    def notes(self) -> list[str]:
        return lines(self.folder / "notes")


@pytest_asyncio.fixture
async def api(server_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Api]:
    """In front of two processes of a worker; one that is killed leaves traces for a while, so nothing is audited."""
    console = Console(server_url, namespace, tmp_path / "data")
    limits = {"BROKER_WF_MAX_CRASHES": "1", "BROKER_WF_LEASE_MS": "1000"}
    workers = ("tests.apps.mended:both", "--processes", "2")
    server = await ServerThread(Settings.load(url=server_url, namespace=namespace), FLOWS).begin()
    try:
        await asyncio.to_thread(lambda: console.worker(*workers, count=2, **limits))
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            yield Api(client, tmp_path)
    finally:
        await server.end()
        await asyncio.to_thread(console.close)


async def test_a_failed_run_goes_on_from_its_step_or_is_done_again_whole(api: Api) -> None:
    await api.start(FRAGILE, "one")
    run = await api.stands("one", "failed")
    assert run["unfinished"] == ["second"]
    api.mend()
    for _ in range(2):
        made = await api.post("/runs/one/rerun", from_step="second", run_id="two")
        assert made == {"run_id": "two", "workflow": FRAGILE, "error": None}
    run = await api.stands("two", "completed")
    assert (run["rerun_of"], run["unfinished"], run["result"]) == ("one", [], "mended")
    assert api.notes == ["first", "second"]
    assert (await api.stands("one", "failed"))["rerun_as"] == "two"
    whole = (await api.post("/runs/one/rerun"))["run_id"]
    await api.stands(whole, "completed")
    for again in ("two", whole):
        await api.has_all_of(again, FRAGILE)
    assert api.notes == ["first", "second"] * 2
    assert (await api.post("/runs/two/rerun", 409, from_step="third"))["error"] == "NothingToRerunError"
    assert (await api.post("/runs/one/rerun", 409, run_id="two"))["error"] == "RunConflictError"
    assert (await api.post("/runs/nobody/rerun", 404))["error"] == "RunNotFoundError"
    assert (await api.post("/runs/one/rerun", 422, wrong=1))["error"] == "ValidationError"


async def test_a_run_is_done_again_from_a_step_that_it_had_finished(api: Api) -> None:
    api.mend()
    await api.start(FRAGILE, "one")
    await api.stands("one", "completed")
    for step, new in (("second", "two"), ("first", "three")):
        made = await api.post("/runs/one/rerun", from_step=step, run_id=new)
        assert made == {"run_id": new, "workflow": FRAGILE, "error": None}
        assert (await api.stands(new, "completed"))["result"] == "mended"
        await api.has_all_of(new, FRAGILE)
    assert api.notes == ["first", "second", "second", "first", "second"]


async def test_many_are_done_again_after_a_dry_run_and_each_once(api: Api) -> None:
    for name in ("a", "b"):
        await api.start(FRAGILE, name)
        await api.stands(name, "failed")
    api.mend()
    await api.start(FRAGILE, "fine")
    await api.stands("fine", "completed")
    wish = {"action": "rerun", "unfinished": True, "workflow": FRAGILE}
    dry = await api.post("/runs:bulk", **wish)
    assert (dry["dry_run"], sorted(dry["run_ids"]), dry["again"]) == (True, ["a", "b"], [])
    for name in ("b", "a"):
        done = await api.post("/runs:bulk", **wish, dry_run=False, limit=1)
        assert done["run_ids"] == [name]
        await api.stands(done["again"][0]["run_id"], "completed")
        await api.has_all_of(done["again"][0]["run_id"], FRAGILE)
    assert (await api.post("/runs:bulk", **wish, dry_run=False))["run_ids"] == []
    assert sorted(api.notes) == ["first"] * 3 + ["second"] * 3
    mixed = await api.post("/runs:bulk", action="rerun", run_ids=["fine", "nobody"], dry_run=False, unfinished=True)
    assert mixed["run_ids"] == []
    assert "it completed or went with its parent" in mixed["again"][0]["error"]
    assert "no run nobody is known here" in mixed["again"][1]["error"]


async def test_a_dead_letter_is_retried_once_by_many_at_one_time(api: Api) -> None:
    await api.start(DEADLY, "dead")
    run = await api.stands("dead", "failed")
    assert run["unfinished"] == ["second"]
    (letter,) = (await api.get("/dlq"))["dead_letters"]
    dry = await api.post("/dlq:retry", workflow=DEADLY)
    assert dry == {"dry_run": True, "letters": [{"id": letter["id"], "run_id": None, "error": None}]}
    assert (await api.post("/dlq:drop", step="first", dry_run=False)) == {"dropped": 0, "dry_run": False, "ids": []}
    assert (await api.post("/dlq:drop", kind="poison"))["ids"] == [letter["id"]]
    api.mend()
    answers = await asyncio.gather(*(api.post("/dlq:retry", ids=[letter["id"]]) for _ in range(8)))
    made = {one["letters"][0]["run_id"] for one in answers} - {None}
    assert len(made) == 1
    assert all(one["letters"][0]["run_id"] or "retried before" in one["letters"][0]["error"] for one in answers)
    run = await api.stands(made.pop(), "completed")
    assert run["rerun_of"] == "dead"
    await api.has_all_of(run["run_id"], DEADLY)
    assert api.notes == ["first", "second"]
    assert (await api.get("/dlq"))["dead_letters"] == []
    assert len((await api.get("/runs"))["runs"]) == 2
