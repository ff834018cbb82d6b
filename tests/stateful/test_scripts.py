"""Any order of things: the real scripts on a real server against a model.

``BROKER_WF_TEST_SEED=<n>`` walks other ways than the fixed ones of every day, ``BROKER_WF_TEST_EXAMPLES`` more of them.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Scripts

SEED = os.environ.get("BROKER_WF_TEST_SEED")
EXAMPLES = int(os.environ.get("BROKER_WF_TEST_EXAMPLES", "40"))
# All of it is work, of this process and of the server: 100 s a day were seen where others had the machine too.
pytestmark = pytest.mark.timeout(max(600, 2 * EXAMPLES))
WAYS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    derandomize=SEED is None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    phases=[Phase.explicit, Phase.generate],
)


def walk(url: str, examples: int = EXAMPLES) -> None:
    machine: type[Scripts] = type("Scripts", (Scripts,), {"url": url})
    if SEED is not None:
        machine = seed(int(SEED))(machine)
    run_state_machine_as_test(machine, settings=settings(WAYS, max_examples=examples))


def test_the_scripts_do_what_the_model_does(server_url: str) -> None:
    walk(server_url)
