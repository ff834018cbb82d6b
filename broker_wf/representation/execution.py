"""The course of a run as a scene: what each execution was started with, and what came of it.

The ids of deliveries tell what came of what: an event is named by the delivery that returned or sent it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from broker_wf.core.delivery import short_id
from broker_wf.inspector.history import History
from broker_wf.inspector.views import EventView, ExecutionView
from broker_wf.representation.graph import shortened
from broker_wf.representation.scene import (
    EVENT,
    EXTERNAL,
    FAILED,
    OPEN,
    START,
    STEP,
    STOP,
    Scene,
    SceneEdge,
    SceneNode,
)

_OUTSIDE = "external_step"
_FAILURE = "StepFailedEvent"


@dataclass(frozen=True, slots=True)
class _Event:
    """An event that something was started with.

    Attributes:
        maker: the delivery it came of; None: it came from outside.
        gathered: it stands for a collection.
    """

    id: str
    maker: str | None
    gathered: bool = False
    failure: bool = False


def execution_scene(history: History, max_label_length: int | None = None) -> Scene:
    """Draw a run: each execution with the event it was given, the events it published, and how the run ended."""
    drawing = _Drawing(history, max_label_length)
    drawing.draw()
    name = f"{history.run.workflow} {history.run.run_id}: {history.run.status}"
    return Scene(name=name, nodes=(*drawing.nodes.values(),), edges=(*drawing.edges,))


@dataclass
class _Drawing:
    history: History
    max_label_length: int | None
    nodes: dict[str, SceneNode] = field(default_factory=dict[str, SceneNode])
    edges: dict[SceneEdge, None] = field(default_factory=dict[SceneEdge, None])

    def draw(self) -> None:
        """Fill in nodes and edges."""
        executions = self.history.executions
        self._steps = {short_id(one.delivery): one.step for one in executions}
        self._full = {short_id(one.delivery): one.delivery for one in executions}
        self._events = {one.delivery: self._event_of(one.delivery) for one in executions}
        self._parents = {event.maker for event in self._events.values() if event.maker and not event.gathered}
        self.nodes[_OUTSIDE] = SceneNode(id=_OUTSIDE, label=_OUTSIDE, look=EXTERNAL)
        numbers: Counter[str] = Counter()
        for one in executions:
            numbers[one.step] += 1
            self._execution(one, f"{one.step}#{numbers[one.step]}")
        for one in executions:
            self._given(one)
        self._published()

    def _label(self, text: str) -> str:
        return shortened(text, self.max_label_length)

    def _event_of(self, delivery: str) -> _Event:
        event, _, _ = delivery.rpartition("@")
        if event.endswith("*"):
            return _Event(event, self._known(event[:-1]), gathered=True)
        if event.endswith("!"):
            return _Event(event, self._known(event[:-1]), failure=True)
        returned, sent = event.rpartition(".")[0], event.rsplit(".", 3)[0]
        return _Event(event, self._known(returned) or self._known(sent))

    def _known(self, name: str) -> str | None:
        return name if name in self._steps else None

    def _execution(self, one: ExecutionView, label: str) -> None:
        look = STEP
        if one.state != "done":
            look = OPEN
        elif one.outcome in ("failed", "poison"):
            look = FAILED
        lines = [label, f"state: {one.outcome or one.state}", f"attempt: {one.attempt}"]
        if one.worker:
            lines.append(f"worker: {one.worker}")
        if one.started_at and one.ended_at:
            lines.append(f"took: {(one.ended_at - one.started_at).total_seconds():.3f} s")
        node_id = _step_node(one.delivery)
        self.nodes[node_id] = SceneNode(id=node_id, label=self._label(label), look=look, title="\n".join(lines))

    def _given(self, one: ExecutionView) -> None:
        """Draw the event an execution was started with, and where it came from."""
        event = self._events[one.delivery]
        node_id = f"event:{event.id}"
        if node_id not in self.nodes:
            look = START if event.id == "0" else EVENT
            label = self._label(self._event_name(event, one.step))
            self.nodes[node_id] = SceneNode(id=node_id, label=label, look=look)
            for source in self._sources(event):
                self._edge(source, node_id)
        self._edge(node_id, _step_node(one.delivery))

    def _sources(self, event: _Event) -> Iterator[str]:
        if event.maker is None:
            yield _OUTSIDE
            return
        maker = self._full[event.maker]
        members = [*self._leaves(event.maker)] if event.gathered else []
        yield from (_step_node(delivery) for delivery in members or [maker])

    def _leaves(self, opener: str) -> Iterator[str]:
        """Executions that descend from what a delivery returned as a list, and that nothing descends from."""
        inside = {opener}
        for one in self.history.executions:
            event = self._events[one.delivery]
            if event.maker in inside and not (event.gathered and event.maker == opener):
                inside.add(short_id(one.delivery))
                if short_id(one.delivery) not in self._parents:
                    yield one.delivery

    def _event_name(self, event: _Event, step: str) -> str:
        """What the event is called: what its maker gives and its taker takes; all of them if there are several."""
        if event.failure:
            return _FAILURE
        steps = self.history.steps
        takes = steps[step].takes if step in steps else frozenset[str]()
        maker = self._steps.get(event.maker or "", "")
        gives = steps[maker].gives if maker in steps and not event.gathered else frozenset[str]()
        named = " | ".join(sorted(takes & gives or takes)) or "event"
        return f"list[{named}]" if event.gathered else named

    def _published(self) -> None:
        """Draw how the run ended; what it published else is told by the step that did."""
        told: dict[str, Counter[str]] = {}
        for one in self.history.published:
            if one.step is not None and not _ends(one, self.history):
                told.setdefault(one.step, Counter())[one.type] += 1
        for step, counts in told.items():
            self._tell(step, counts)
        last = self.history.published[-1] if self.history.published else None
        if last is not None and _ends(last, self.history):
            node = SceneNode(id="end", label=self._label(last.type), look=STOP, title=self.history.run.status)
            self.nodes[node.id] = node
            for one in self.history.executions:
                if one.outcome in ("ended", "failed", "poison") and short_id(one.delivery) not in self._parents:
                    self._edge(_step_node(one.delivery), node.id)

    def _tell(self, step: str, counts: Mapping[str, int]) -> None:
        node_id = f"published:{step}"
        text = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in sorted(counts.items()))
        label = self._label(f"published: {text}")
        self.nodes[node_id] = SceneNode(id=node_id, label=label, look=EVENT, title=text)
        for one in self.history.executions:
            if one.step == step:
                self._edge(_step_node(one.delivery), node_id)

    def _edge(self, source: str, target: str) -> None:
        self.edges[SceneEdge(source=source, target=target)] = None


def _ends(event: EventView, history: History) -> bool:
    return history.run.status not in ("running", "queued") and event.seq == history.published[-1].seq


def _step_node(delivery: str) -> str:
    return f"step:{delivery}"
