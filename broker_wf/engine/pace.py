"""Which steps are so quick that they may be executed ahead of the commit that hands them their event."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker_wf.core.ids import StepName
from broker_wf.core.spec import StepSpec

_QUICK_S = 0.001
_OFTEN, _MOST = 3, 12
"""With so many marks a step is quick; it has no more than so many."""
_SLOW = 3
"""So many marks a slow execution costs. On a busy machine a quick one seems slow now and then."""
_NOT_SOON = -100
"""Where the count begins of a step that has waited for something when it was executed ahead."""
_NEVER = -(10**12)


@dataclass(slots=True)
class Pace:
    """How a workflow's steps were executed in this process lately. Told only of those that could be executed ahead."""

    _quick: dict[StepName, int] = field(default_factory=dict[StepName, int])

    def took(self, step: StepSpec, seconds: float) -> None:
        """A step was executed."""
        if step.is_plain:
            before = self._quick.get(step.name, 0)
            after = min(before + 1, _MOST) if seconds < _QUICK_S else max(before - _SLOW, min(before, 0))
            self._quick[step.name] = after

    def waited(self, step: StepName) -> None:
        """A step that was executed ahead waits for something."""
        self._quick[step] = _NOT_SOON

    def uses_its_context(self, step: StepName) -> None:
        """A step that asks for no Context uses one."""
        self._quick[step] = _NEVER

    def is_quick(self, step: StepSpec) -> bool:
        """Whether it may be executed ahead."""
        return self._quick.get(step.name, 0) >= _OFTEN
