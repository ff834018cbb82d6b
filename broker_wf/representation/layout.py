"""Where the nodes of a scene stand: in layers, each arrow pointing down as far as that is possible.

Layers by longest path; long arrows are led through places of their own in the layers between (Sugiyama's way).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

NODE_HEIGHT = 38.0
_LAYER_GAP = 58.0
_NODE_GAP = 26.0
_BEND_WIDTH = 12.0
_MARGIN = 24.0
_SWEEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Places in pixels.

    Attributes:
        centres: of each node.
        routes: of each arrow, in the order given: its bends between the centres of its ends.
    """

    centres: Mapping[str, Point]
    routes: Sequence[Sequence[Point]]
    width: float
    height: float


def lay_out(widths: Mapping[str, float], arrows: Sequence[tuple[str, str]]) -> Layout:
    """Place nodes of the given widths. The same input always gives the same places."""
    down = _acyclic(list(widths), arrows)
    ranks = _ranks(list(widths), down)
    chains = [_chain(number, arrow, ranks) for number, arrow in enumerate(down)]
    layers = _layers(list(widths), chains, ranks)
    above, below = _neighbours(chains)
    for sweep in range(_SWEEPS):
        _reorder(layers if sweep % 2 == 0 else layers[::-1], above if sweep % 2 == 0 else below)
    xs = _columns(layers, widths, above, below)
    left = min((x - _width(name, widths) / 2 for name, x in xs.items()), default=0.0) - _MARGIN
    right = max((x + _width(name, widths) / 2 for name, x in xs.items()), default=0.0) + _MARGIN
    step = NODE_HEIGHT + _LAYER_GAP
    places = {
        name: (xs[name] - left, _MARGIN + NODE_HEIGHT / 2 + rank * step)
        for rank, layer in enumerate(layers)
        for name in layer
    }
    routes = [
        [places[name] for name in (chain if chain[0] == source else chain[::-1])[1:-1]]
        for chain, (source, _) in zip(chains, arrows, strict=True)
    ]
    height = 2 * _MARGIN + max(len(layers), 1) * step - _LAYER_GAP
    return Layout(centres={n: places[n] for n in widths}, routes=routes, width=right - left, height=height)


def _acyclic(nodes: Sequence[str], arrows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows, with those turned round that lead back to where one came from."""
    onward: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in arrows:
        onward[source].append(target)
    finished: dict[str, int] = {}
    entered: set[str] = set()
    for root in nodes:
        stack = [] if root in entered else [(root, iter(onward[root]))]
        entered.add(root)
        while stack:
            node, ways = stack[-1]
            following = next((way for way in ways if way not in entered), None)
            if following is None:
                finished[node] = len(finished)
                stack.pop()
            else:
                entered.add(following)
                stack.append((following, iter(onward[following])))
    return [(s, t) if finished[s] >= finished[t] else (t, s) for s, t in arrows]


def _ranks(nodes: Sequence[str], down: Sequence[tuple[str, str]]) -> dict[str, int]:
    into: dict[str, int] = dict.fromkeys(nodes, 0)
    onward: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in down:
        if source != target:
            into[target] += 1
            onward[source].append(target)
    ranks = dict.fromkeys(nodes, 0)
    ready = [node for node in nodes if into[node] == 0]
    for node in ready:
        for target in onward[node]:
            ranks[target] = max(ranks[target], ranks[node] + 1)
            into[target] -= 1
            if into[target] == 0:
                ready.append(target)
    return ranks


def _chain(number: int, arrow: tuple[str, str], ranks: Mapping[str, int]) -> list[str]:
    """The arrow's ends, with a bend for each layer between them."""
    source, target = arrow
    bends = [f"\0{number}.{rank}" for rank in range(ranks[source] + 1, ranks[target])]
    return [source, *bends, target]


def _layers(nodes: Sequence[str], chains: Sequence[Sequence[str]], ranks: Mapping[str, int]) -> list[list[str]]:
    layers: list[list[str]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for node in nodes:
        layers[ranks[node]].append(node)
    for chain in chains:
        for offset, bend in enumerate(chain[1:-1], start=1):
            layers[ranks[chain[0]] + offset].append(bend)
    return layers


def _neighbours(chains: Sequence[Sequence[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for chain in chains:
        for upper, lower in itertools.pairwise(chain):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    return above, below


def _reorder(layers: Sequence[list[str]], beside: Mapping[str, Sequence[str]]) -> None:
    """Sort each layer by where its neighbours in the layer before stand."""
    for before, layer in itertools.pairwise(layers):
        index = {name: i for i, name in enumerate(before)}
        old = {name: i for i, name in enumerate(layer)}

        def middle(name: str, index: Mapping[str, int] = index, old: Mapping[str, int] = old) -> float:
            found = [index[one] for one in beside.get(name, ()) if one in index]
            return sum(found) / len(found) if found else float(old[name])

        layer.sort(key=middle)


def _width(name: str, widths: Mapping[str, float]) -> float:
    return widths.get(name, _BEND_WIDTH)


def _columns(
    layers: Sequence[Sequence[str]],
    widths: Mapping[str, float],
    above: Mapping[str, Sequence[str]],
    below: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    xs: dict[str, float] = {}
    for layer in layers:
        _spread(layer, dict.fromkeys(layer, 0.0), widths, xs)
    for sweep in range(_SWEEPS):
        beside = above if sweep % 2 == 0 else below
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = {
                name: sum(xs[one] for one in near) / len(near) if (near := beside.get(name)) else xs[name]
                for name in layer
            }
            _spread(layer, wanted, widths, xs)
    return xs


def _spread(
    layer: Sequence[str], wanted: Mapping[str, float], widths: Mapping[str, float], xs: dict[str, float]
) -> None:
    """Put a layer's nodes near where they want to be, in order and without touching."""
    edge = float("-inf")
    for name in layer:
        half = _width(name, widths) / 2
        xs[name] = max(wanted[name], edge + half)
        edge = xs[name] + half + _NODE_GAP
    shift = sum(xs[name] - wanted[name] for name in layer) / len(layer) if layer else 0.0
    for name in layer:
        xs[name] -= shift
