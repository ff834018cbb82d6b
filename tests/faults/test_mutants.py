"""What the experiments are worth: each fault that is put in is noticed, and without one there is nothing to notice."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from broker_wf.broker import script
from broker_wf.broker.deliveries import Ended
from broker_wf.core.outcome import CollectDecision
from tests.faults.experiment import Experiment
from tests.faults.mutants import PLAN
from tests.faults.records import Records
from tests.mutants import MUTANTS, WALKED_INTO, mutated
from tests.stateful.acts import begun, hand_on, taken_over
from tests.stateful.flow import Loose
from tests.stateful.rig import rigged

CHECKS = {name: check for name, check in PLAN.items() if not isinstance(check, str)}


@pytest.mark.parametrize("mutant", sorted(CHECKS))
async def test_a_mutant_is_noticed(records: Records, mutant: str) -> None:
    found = await CHECKS[mutant](Experiment(records, f"D33 {mutant}"), mutant)
    assert found, "nobody has noticed"
    print(f"{mutant}: {found[0]}")


@pytest.mark.parametrize("check", sorted({check.__name__ for check in CHECKS.values()} - {"fenced"}))
async def test_without_a_mutant_there_is_nothing_to_notice(records: Records, check: str) -> None:
    found = await next(one for one in CHECKS.values() if one.__name__ == check)(Experiment(records, "D33 none"), None)
    assert found == []


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_there_is_still_what_a_mutant_changes(mutant: str) -> None:
    """Otherwise a worker with it would only break, which anybody notices."""
    with mutated(mutant):
        for where, _, _ in MUTANTS[mutant]:
            script._read(where)


def test_the_others_are_walked_into() -> None:
    assert len(PLAN) == 12
    assert set(PLAN) <= set(MUTANTS)
    assert {name for name, where in PLAN.items() if where == "tests/stateful"} <= set(WALKED_INTO)


@pytest.mark.parametrize("mutant", [None, "collected events are counted and not named"])
def test_a_collection_that_another_has_used_is_stale(server_url: str, namespace: str, mutant: str | None) -> None:
    """Two steps decide on the same two events; by the time the second commits there are two others."""
    if mutant is None:
        assert second_to_fire(server_url, namespace) is Ended.STALE_BUFFER
    else:
        with mutated(mutant):
            assert second_to_fire(server_url, namespace) is Ended.DONE


@pytest.mark.parametrize("mutant", [None, "anybody may renew"])
def test_a_former_holder_renews_nothing(server_url: str, namespace: str, mutant: str | None) -> None:
    with nullcontext() if mutant is None else mutated(mutant):
        for rig in rigged(server_url, namespace, 1000):
            former = begun(rig)
            successor = taken_over(rig, former)
            assert (rig.renew(former), rig.renew(successor)) == (mutant is not None, True)


def second_to_fire(url: str, namespace: str) -> Ended:
    rigs = rigged(url, namespace, 1000)
    rig = next(rigs)
    hand_on(rig, begun(rig), *[Loose(n=n) for n in range(6)])
    held, name = rig.claim("w1"), rig.program.spec.name_of(Loose)

    def decides(position: int, *, fire: bool) -> Ended:
        used = {name: (held[0].id, 2)} if fire else {}
        decision = CollectDecision(buffer="default", name=name, event=Loose(), want={name: 3}, fire=fire, used=used)
        return rig.commit(rig.plan(held[position], [], listed=False, decisions=(decision,)))

    assert [decides(n, fire=n == 2) for n in (0, 1, 2, 4, 5)] == [Ended.DONE] * 5
    told = decides(3, fire=True)
    assert next(rigs, None) is None
    return told
