"""What runs are started with and found by over /api/v1: options, and filters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.server.test_api import ASKING, SPREAD, Api, api

__all__ = ["api"]


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"tags": {"a=b": "x"}}, "tags: 'a=b' is no name"),
        ({"tags": {"a": 5}}, "tags.a"),
        ({"tags": {f"n{n}": "" for n in range(33)}}, "tags"),
        ({"tags": ["a"]}, "tags"),
        ({"delay": "soon"}, "delay cannot be 'soon'"),
        ({"delay": -1}, "delay cannot be -1"),
        ({"delay": True}, "delay"),
        ({"delay": 1e300}, "366 days at most"),
        ({"delay": None}, "delay"),
        ({"on_conflict": "replace"}, "on_conflict"),
        ({"priority": "urgent"}, "priority"),
        ({"priority": 5}, "priority"),
        ({"fairness_key": ""}, "fairness_key cannot be ''"),
        ({"fairness_key": "a\nb"}, "fairness_key"),
        ({"request_id": "a b"}, "request_id"),
    ],
)
async def test_what_no_run_can_have_is_refused_with_its_name(api: Api, given: dict[str, Any], where: str) -> None:
    refused = await api.post("/runs", {"workflow": SPREAD, **given}, status=422)
    assert where in refused["detail"]
    many = await api.post("/runs", {"runs": [{"workflow": SPREAD, **given}]}, status=422)
    assert many["error"] == "ValidationError"


async def test_a_fairness_key_is_refused_where_it_would_do_nothing(api: Api) -> None:
    wish = {"workflow": SPREAD, "fairness_key": "a"}
    refused = await api.post("/runs", wish, status=422)
    assert refused["error"] == "RunOptionError"
    assert "has no num_concurrent_runs" in refused["detail"]
    (one,) = (await api.post("/runs", {"runs": [wish]}))["runs"]
    assert one["run_id"] is None
    assert "has no num_concurrent_runs" in one["error"]


async def test_runs_are_filtered_by_several_tags_and_bulk_takes_the_same(api: Api) -> None:
    runs = [{"workflow": ASKING, "tags": {"plan": plan, "n": str(n)}} for n, plan in enumerate("aab")]
    ids = [one["run_id"] for one in (await api.post("/runs", {"runs": runs}))["runs"]]
    assert {one["run_id"] for one in (await api.get("/runs", tag="plan=a"))["runs"]} == set(ids[:2])
    assert [one["run_id"] for one in (await api.get("/runs", tag=["plan=a", "n=1"]))["runs"]] == [ids[1]]
    done = await api.post("/runs:bulk", {"action": "cancel", "tag": ["plan=a"], "dry_run": False})
    assert set(done["run_ids"]) == set(ids[:2])
    assert (await api.get(f"/runs/{ids[2]}"))["run"]["status"] == "running"


@pytest.mark.parametrize(
    "query", [{"tag": "plan"}, {"tag": "=a"}, {"longer_than": "-1"}, {"longer_than": "soon"}, {"error": "x" * 201}]
)
async def test_filters_that_fit_nothing_are_refused(api: Api, query: dict[str, str]) -> None:
    assert await api.refused("/runs", **query) == (422, "ValidationError")


async def test_a_restart_that_is_sent_again_happens_once(api: Api) -> None:
    run_id = await api.start(ASKING)
    wish = {"workflow": ASKING, "run_id": run_id, "event": {"amount": 7}, "on_conflict": "restart", "request_id": "r1"}
    before = (await api.get(f"/runs/{run_id}"))["run"]["created_at"]
    await api.post("/runs", wish)
    after = (await api.get(f"/runs/{run_id}"))["run"]["created_at"]
    assert after > before
    assert (await api.post("/runs", wish))["run_id"] == run_id
    assert (await api.get(f"/runs/{run_id}"))["run"]["created_at"] == after
    await api.post("/runs", {**wish, "request_id": "r2"})
    assert (await api.get(f"/runs/{run_id}"))["run"]["created_at"] > after


async def test_many_runs_may_be_started_each_with_options_of_its_own(api: Api) -> None:
    runs = [{"workflow": ASKING, "tags": {"n": str(n)}, "delay": "PT1H" if n else 0} for n in range(3)]
    made = (await api.post("/runs", {"runs": runs}))["runs"]
    found = [(await api.get(f"/runs/{one['run_id']}"))["run"] for one in made]
    assert [one["tags"]["n"] for one in found] == ["0", "1", "2"]
    assert [one["begins_at"] is None for one in found] == [True, False, False]
