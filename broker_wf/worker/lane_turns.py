"""In which order a claim asks the lanes of a worker."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from broker_wf.broker.asking import Serving
from broker_wf.broker.packing import pack, pack_parts
from broker_wf.core.ids import Lane


@dataclass(slots=True)
class LaneTurns:
    """Who rang comes first, then whoever has given nothing for longest: no workflow waits behind a busier one.

    A bell is heard by one worker only. If other lanes have filled that one before it looked into the lane that rang,
    somebody else is to hear the bell.
    """

    _workflows: dict[Lane, list[bytes]] = field(default_factory=dict[Lane, list[bytes]])
    _base: dict[Lane, Lane] = field(default_factory=dict[Lane, Lane])
    _rang: dict[Lane, Lane] = field(default_factory=dict[Lane, Lane])
    _asked: set[Lane] = field(default_factory=set[Lane])

    def serve(self, lanes: Iterable[Serving]) -> None:
        """Ask these lanes from now on; that of a workflow and that of its runs set aside have their turn together."""
        self._workflows, self._base = {}, {}
        for one in lanes:
            base = self._base[one.lane] = Lane(one.lane.removesuffix(f"#{one.digest}"))
            packed = pack([one.lane, one.digest, dict(one.limits), dict(one.per_run)])
            self._workflows.setdefault(base, []).append(packed)
        self._rang = {lane: base for lane, base in self._rang.items() if lane in self._base}

    def rang(self, lane: Lane) -> None:
        """A bell of this lane was heard, and so by nobody else."""
        if lane in self._base:
            self._rang[lane] = self._base[lane]

    def answered(self, lane: Lane) -> None:
        """A bell of this lane was heard, and what is :meth:`brought` next was claimed then."""
        self.rang(lane)
        self._asked.add(lane)

    def pass_on(self) -> list[Lane]:
        """The lanes whose bells were heard and not answered yet; somebody else is to hear them."""
        passed, self._rang = list(self._rang), {}
        return passed

    def next(self) -> bytes:
        """What the next claim asks, as the script reads it."""
        self._asked = set(self._rang)
        order = dict.fromkeys((*self._rang.values(), *self._workflows))
        return pack_parts([part for lane in order for part in self._workflows[lane]])

    def brought(self, gave: Collection[Lane], *, everything: bool) -> None:
        """What the last claim has brought.

        Args:
            gave: the lanes of what was claimed.
            everything: it was all that was asked for, so not every lane was looked into.
        """
        given = dict.fromkeys(self._base[lane] for lane in gave if lane in self._base)
        for lane in given:
            self._workflows[lane] = self._workflows.pop(lane)
        for lane in self._asked & self._rang.keys():
            if not everything or self._rang[lane] in given:
                del self._rang[lane]
