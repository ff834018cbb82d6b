"""A scene as SVG, and as a page that needs nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape

from broker_wf.representation.layout import NODE_HEIGHT, Layout, Point, lay_out
from broker_wf.representation.scene import Scene, SceneNode, Shape

_CHARACTER = 7.4
_PADDING = 30.0

_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 1.5rem; color: #1b1f24; background: #fff; }
h1 { font-size: 1.15rem; font-weight: 600; }
figure { margin: 0; overflow: auto; border: 1px solid #d8dee4; border-radius: 8px; }
"""


def page(scene: Scene) -> str:
    """An HTML page; every text in it is escaped, and it loads nothing."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_text(scene.name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_text(scene.name)}</h1>\n<figure>{svg(scene)}</figure>\n</body>\n</html>\n"
    )


def svg(scene: Scene) -> str:
    """The drawing alone; every text in it is escaped."""
    sizes = {node.id: len(node.label) * _CHARACTER + _PADDING for node in scene.nodes}
    layout = lay_out(sizes, [(edge.source, edge.target) for edge in scene.edges])
    arrows = "".join(
        _arrow(layout, edge.source, edge.target, edge.label, bends)
        for edge, bends in zip(scene.edges, layout.routes, strict=True)
    )
    nodes = "".join(_node(node, layout.centres[node.id], sizes[node.id]) for node in scene.nodes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_text(scene.name)}" '
        f'width="{layout.width:.0f}" height="{layout.height:.0f}" viewBox="0 0 {layout.width:.0f} {layout.height:.0f}" '
        'font-family="system-ui, sans-serif" font-size="13">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>{arrows}{nodes}</svg>'
    )


def _text(value: str) -> str:
    """The text, escaped, without what XML does not allow."""
    kept = (c if c >= " " or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in value)
    return escape("".join(kept).encode("utf-8", "replace").decode())


def _node(node: SceneNode, centre: Point, width: float) -> str:
    x, y = centre
    title = f"<title>{_text(node.title)}</title>" if node.title else ""
    label = f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" dominant-baseline="central">{_text(node.label)}</text>'
    return f"<g>{title}{_outline(node.look.shape, node.look.fill, x, y, width)}{label}</g>"


def _outline(shape: Shape, fill: str, x: float, y: float, width: float) -> str:
    drawn = f'fill="{fill}" stroke="#57606a"'
    left, right, half = x - width / 2, x + width / 2, NODE_HEIGHT / 2
    if shape is Shape.HEXAGON:
        corners = (
            f"{left:.1f},{y:.1f} {left + 12:.1f},{y - half:.1f} {right - 12:.1f},{y - half:.1f} "
            f"{right:.1f},{y:.1f} {right - 12:.1f},{y + half:.1f} {left + 12:.1f},{y + half:.1f}"
        )
        return f'<polygon points="{corners}" {drawn}/>'
    radius = half if shape is Shape.PILL else 4
    return (
        f'<rect x="{left:.1f}" y="{y - half:.1f}" width="{width:.1f}" height="{NODE_HEIGHT:.0f}" rx="{radius:.0f}" '
        f"{drawn}/>"
    )


def _arrow(layout: Layout, source: str, target: str, label: str, bends: Sequence[Point]) -> str:
    begin, end = layout.centres[source], layout.centres[target]
    if source == target:
        return _loop(begin)
    way = 1 if begin[1] < end[1] else -1
    first = (begin[0], begin[1] + way * NODE_HEIGHT / 2)
    last = (end[0], end[1] - way * NODE_HEIGHT / 2)
    # An arrow up stands a little aside, so that it does not lie on the one down.
    aside = 0.0 if way > 0 else 10.0
    points = [(x + aside, y) for x, y in (first, *bends, last)]
    drawn = f'<path d="{_curve(points)}" fill="none" stroke="#57606a" marker-end="url(#tip)"/>'
    return drawn + (_label(label, points) if label else "")


def _curve(points: Sequence[Point]) -> str:
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        parts.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    return "".join(parts)


def _label(label: str, points: Sequence[Point]) -> str:
    (x0, y0), (x1, y1) = points[0], points[1]
    return (
        f'<text x="{(x0 + x1) / 2:.1f}" y="{(y0 + y1) / 2:.1f}" text-anchor="middle" font-size="11" fill="#57606a" '
        f'paint-order="stroke" stroke="#fff" stroke-width="3">{_text(label)}</text>'
    )


def _loop(centre: Point) -> str:
    x, y = centre[0] + 20, centre[1] + NODE_HEIGHT / 2
    curve = f"M{x - 12:.1f} {y:.1f}c-6 26 34 26 24 2"
    return f'<path d="{curve}" fill="none" stroke="#57606a" marker-end="url(#tip)"/>'
