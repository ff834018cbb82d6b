"""From a class with steps to their specs, for tests of the definition side."""

from __future__ import annotations

from broker_wf.core.ids import StepName
from broker_wf.core.spec import StepSpec
from broker_wf.decorators import step_config, step_spec, steps_of


def specs(workflow: object) -> dict[StepName, StepSpec]:
    found: dict[StepName, StepSpec] = {}
    for name, function in steps_of(workflow).items():
        config = step_config(function)
        assert config is not None
        found[name] = step_spec(name, function, config)
    return found
