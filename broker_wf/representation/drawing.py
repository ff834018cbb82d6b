"""What users call to see a workflow or a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from broker_wf.representation.build import get_workflow_representation
from broker_wf.representation.children import with_children
from broker_wf.representation.execution import execution_scene
from broker_wf.representation.mermaid import mermaid
from broker_wf.representation.page import page, svg
from broker_wf.representation.reading import Handler, read_history
from broker_wf.representation.scene import Scene, scene_of
from broker_wf.settings import Settings


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing that a notebook shows."""

    scene: Scene

    def shown(self) -> dict[str, str]:
        """By MIME type: as SVG, alone and inside HTML, and as Mermaid."""
        drawn = svg(self.scene)
        return {"text/html": drawn, "image/svg+xml": drawn, "text/vnd.mermaid": mermaid(self.scene)}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows."""
        return self.shown()

    def _repr_html_(self) -> str:
        """What a notebook shows that knows HTML alone."""
        return self.shown()["text/html"]


def workflow_drawing(workflow: object, max_label_length: int | None = None, *, children: bool = True) -> Drawing:
    """All flows of a workflow class or instance."""
    graph = with_children(workflow) if children else get_workflow_representation(workflow)
    return Drawing(scene_of(graph, max_label_length))


def run_drawing(
    run: Handler | str, max_label_length: int | None = None, broker: Settings | str | None = None
) -> Drawing:
    """The course of a run up to now. Raises as ``draw_most_recent_execution``."""
    return Drawing(execution_scene(read_history(run, broker), max_label_length))


def draw_all_possible_flows(
    workflow: object,
    filename: str = "workflow_all_flows.html",
    notebook: bool = False,
    max_label_length: int | None = None,
    include_child_workflows: bool = True,
) -> Drawing | None:
    """Write a page with all flows of a workflow. It opens offline, and whatever names hold, nothing in it runs.

    Args:
        workflow: a Workflow class or an instance of one.
        filename: of the page; empty: none is written.
        notebook: return the drawing too, for a notebook to show.
        max_label_length: longer labels are cut and end in a star; None: none is.
        include_child_workflows: draw those too that the steps' code makes instances of, one level deep.

    Raises:
        FileNotFoundError, ValueError: a ``ResourceConfig`` cannot be read.
    """
    drawing = workflow_drawing(workflow, max_label_length, children=include_child_workflows)
    return _written(drawing, filename, notebook)


def draw_all_possible_flows_mermaid(
    workflow: object,
    filename: str = "workflow_all_flows.mermaid",
    max_label_length: int | None = None,
    include_child_workflows: bool = True,
) -> str:
    """As ``draw_all_possible_flows``, as a Mermaid flowchart. Returns it, and writes it if there is a file name."""
    scene = workflow_drawing(workflow, max_label_length, children=include_child_workflows).scene
    return _written_text(mermaid(scene), filename)


def draw_most_recent_execution(
    handler: Handler | str,
    filename: str = "workflow_recent_execution.html",
    notebook: bool = False,
    max_label_length: int | None = None,
    *,
    broker: Settings | str | None = None,
) -> Drawing | None:
    """Write a page with the course of a run up to now, from what the server keeps of it.

    Blocks for some round trips to the server.

    Args:
        handler: of the run, or the id of any run there is, of whatever process.
        filename: of the page; empty: none is written.
        notebook: return the drawing too, for a notebook to show.
        max_label_length: longer labels are cut and end in a star; None: none is.
        broker: the server, or all settings, to look for a run id; None: those of this process.

    Raises:
        RunNotFoundError: no such run, or it is not kept any more.
        WorkflowRuntimeError: the run has not been submitted yet.
        ServerUnreachableError: the server does not answer.
    """
    return _written(run_drawing(handler, max_label_length, broker), filename, notebook)


def draw_most_recent_execution_mermaid(
    handler: Handler | str,
    filename: str = "workflow_recent_execution.mermaid",
    max_label_length: int | None = None,
    *,
    broker: Settings | str | None = None,
) -> str:
    """As ``draw_most_recent_execution``, as a Mermaid flowchart. Returns it, and writes it if there is a file name."""
    return _written_text(mermaid(run_drawing(handler, max_label_length, broker).scene), filename)


def _written(drawing: Drawing, filename: str, notebook: bool) -> Drawing | None:
    if filename:
        Path(filename).write_text(page(drawing.scene), encoding="utf-8")
    return drawing if notebook else None


def _written_text(text: str, filename: str) -> str:
    if filename:
        Path(filename).write_text(text, encoding="utf-8")
    return text
