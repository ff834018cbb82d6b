"""API.md section 11: drawings of all flows, as pages that open offline and as Mermaid."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import broker_wf
from broker_wf import Workflow, step
from broker_wf.events import StartEvent, StopEvent
from broker_wf.representation import (
    WorkflowGenericNode,
    WorkflowGraph,
    WorkflowGraphEdge,
    draw_all_possible_flows,
    draw_all_possible_flows_mermaid,
)
from broker_wf.representation.children import started_workflows
from broker_wf.representation.layout import lay_out
from broker_wf.representation.mermaid import mermaid
from broker_wf.representation.page import page, svg
from broker_wf.representation.scene import scene_of
from tests.unit.representation import twins

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '"]; <script>alert(1)</script> & `x`\x00\ud800'


class Asked(StartEvent):
    text: str


class Child(Workflow):
    @step
    async def inner(self, ev: Asked) -> StopEvent:
        return StopEvent()


class Parent(Workflow):
    @step
    async def outer(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await Child().run(text="a"))


def written(tmp_path: Path, workflow: object, **arguments: object) -> str:
    file = tmp_path / "flows.html"
    draw_all_possible_flows(workflow, str(file), **arguments)
    return file.read_text(encoding="utf-8")


def texts(drawn: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(drawn).iter(f"{SVG}text")]


def nasty() -> WorkflowGraph:
    node = WorkflowGenericNode(id=NASTY, label=NASTY, node_type="step")
    edge = WorkflowGraphEdge(source=NASTY, target=NASTY, label=NASTY)
    return WorkflowGraph(name=NASTY, nodes=[node], edges=[edge])


def test_a_page_shows_each_step_and_event_and_loads_nothing(tmp_path: Path) -> None:
    found = written(tmp_path, twins.fans(twins.names_of("broker_wf")))
    drawn = found[found.index("<svg") : found.index("</svg>") + 6]
    assert {"split", "work", "gather", "Part", "Done", "Odd", "StartEvent", "StopEvent"} == set(texts(drawn))
    links = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]*)", found)
    assert set(links) <= {"#tip"}
    assert "<script" not in found


def test_no_name_can_leave_its_place_in_a_page_or_drawing() -> None:
    scene = scene_of(nasty(), None)
    assert "<script" not in page(scene)
    ET.fromstring(svg(scene))


def test_no_name_can_leave_its_quotes_in_mermaid() -> None:
    lines = mermaid(scene_of(nasty(), None)).splitlines()
    node = next(line for line in lines if line.endswith(":::stepStyle"))
    assert node.count('"') == 2
    assert "<" not in node


def test_mermaid_is_returned_and_written_if_it_is_given_a_file(tmp_path: Path) -> None:
    workflow = twins.asks(twins.names_of("broker_wf"))
    text = draw_all_possible_flows_mermaid(workflow, str(tmp_path / "flows.mermaid"))
    assert (tmp_path / "flows.mermaid").read_text(encoding="utf-8") == text
    assert text == draw_all_possible_flows_mermaid(workflow, "")
    lines = text.splitlines()
    assert lines[0] == "flowchart TD"
    assert '    step_ask["ask"]:::stepStyle' in lines
    assert '    event_StartEvent(["StartEvent"]):::startEventStyle' in lines
    assert "    event_Ask --> external_external_step" in lines


def test_a_resource_is_drawn_with_the_name_of_its_parameter(tmp_path: Path) -> None:
    text = draw_all_possible_flows_mermaid(twins.resources(twins.names_of("broker_wf"), tmp_path), "")
    assert '-->|"index"|' in text
    assert '{{"dict"}}:::resourceStyle' in text


def test_a_long_label_is_cut_in_the_drawing_and_told_in_full_beside(tmp_path: Path) -> None:
    found = written(tmp_path, twins.plain(twins.names_of("broker_wf")), max_label_length=6)
    assert ">Start*<" in found
    assert "<title>StartEvent</title>" in found


def test_a_workflow_that_a_step_starts_is_drawn_into_its_parent() -> None:
    text = draw_all_possible_flows_mermaid(Parent, "")
    assert '"calls: Child"' in text
    assert '"returns: Child"' in text
    assert "event_outer_Child_Asked --> step_outer_Child_inner" in text
    assert "step_outer --> child_connector_outer_Child_calls" in text


def test_a_child_is_found_behind_a_closure_and_in_a_module() -> None:
    local = twins.chain(twins.names_of("broker_wf"))

    def starts() -> None:
        local()
        twins.Store()
        broker_wf.Workflow()

    assert started_workflows(starts) == {"Chain": local}
    assert started_workflows(len) == {}


def test_children_are_left_out_on_request() -> None:
    assert "Child" not in draw_all_possible_flows_mermaid(Parent, "", include_child_workflows=False)


def test_a_notebook_shows_a_workflow_as_a_drawing() -> None:
    bundle = Child()._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")
    assert bundle["text/vnd.mermaid"].startswith("flowchart")
    assert Child()._repr_html_() == bundle["text/html"]


def test_a_drawing_comes_back_for_a_notebook_and_no_file_is_written_without_a_name() -> None:
    drawing = draw_all_possible_flows(Child, "", notebook=True)
    assert drawing is not None
    assert "<svg" in drawing._repr_html_()
    assert draw_all_possible_flows(Child, "") is None


GRAPHS = {
    "empty": [],
    "chain": [("a", "b"), ("b", "c"), ("a", "c")],
    "circle": [("a", "b"), ("b", "c"), ("c", "a"), ("c", "c")],
    "fan": [("a", f"m{i}") for i in range(60)] + [(f"m{i}", "z") for i in range(60)],
}


@pytest.mark.parametrize("name", GRAPHS)
def test_no_two_nodes_of_a_layout_touch(name: str) -> None:
    arrows = GRAPHS[name]
    widths = dict.fromkeys(sorted({end for arrow in arrows for end in arrow}), 60.0)
    layout = lay_out(widths, arrows)
    rows: dict[float, list[float]] = {}
    for x, y in layout.centres.values():
        rows.setdefault(y, []).append(x)
        assert 30 <= x <= layout.width - 30
        assert 0 < y < layout.height
    for xs in map(sorted, rows.values()):
        assert all(right - left > 60 for left, right in itertools.pairwise(xs))


def test_an_arrow_points_down_unless_it_closes_a_circle() -> None:
    layout = lay_out(dict.fromkeys("abc", 50.0), GRAPHS["circle"])
    heights = [layout.centres[node][1] for node in "abc"]
    assert heights == sorted(set(heights))


def test_a_long_arrow_bends_once_in_each_layer_it_passes() -> None:
    layout = lay_out(dict.fromkeys("abc", 50.0), GRAPHS["chain"])
    assert [len(route) for route in layout.routes] == [0, 0, 1]
