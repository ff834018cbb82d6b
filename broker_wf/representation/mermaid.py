"""A scene as the text of a Mermaid flowchart."""

from __future__ import annotations

import re

from broker_wf.representation.scene import LOOKS, Scene, Shape

_OUTLINES = {Shape.BOX: ("[", "]"), Shape.PILL: ("([", "])"), Shape.HEXAGON: ("{{", "}}")}
_SPECIAL = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "\n": " ", "\r": " ", "`": "#96;"}


def mermaid(scene: Scene) -> str:
    """The flowchart; whatever a label holds, it cannot leave its quotes."""
    ids = _ids(scene)
    lines = ["flowchart TD"]
    for node in scene.nodes:
        begin, end = _OUTLINES[node.look.shape]
        lines.append(f'    {ids[node.id]}{begin}"{_quoted(node.label)}"{end}:::{node.look.name}')
    for edge in scene.edges:
        arrow = f'-->|"{_quoted(edge.label)}"|' if edge.label else "-->"
        lines.append(f"    {ids[edge.source]} {arrow} {ids[edge.target]}")
    lines += [f"    classDef {look.name} fill:{look.fill},color:#000000" for look in LOOKS]
    return "\n".join(lines)


def _ids(scene: Scene) -> dict[str, str]:
    """Ids of letters, digits and underscores, no two alike."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for node in scene.nodes:
        clean = re.sub(r"\W", "_", node.id, flags=re.ASCII)
        while clean in taken:
            clean += "_"
        taken.add(clean)
        found[node.id] = clean
    return found


def _quoted(label: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in label)
