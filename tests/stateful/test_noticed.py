"""What the walks are worth: a fault that is put into the scripts is noticed. One kind of server is enough for that."""

from __future__ import annotations

import pytest
from hypothesis.errors import Flaky

from broker_wf.errors import BrokerError
from tests.mutants import WALKED_INTO, mutated
from tests.stateful.test_scripts import EXAMPLES, walk


# At a load of 19 one was ended at 120 s, and with it the process of the tests.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", WALKED_INTO)
def test_a_fault_in_the_scripts_does_not_go_unnoticed(server_url: str, mutant: str) -> None:
    # Ids and nonces are random: a walk that has found it may find something else, or nothing, when it is walked again.
    with mutated(mutant), pytest.raises((AssertionError, LookupError, BrokerError, Flaky)):
        walk(server_url, 8 * EXAMPLES)
