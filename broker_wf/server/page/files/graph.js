// A workflow's graph from left to right: steps as boxes, the events between them as names on the arrows.

import { s, count } from "./dom.js";

const ROW = 76, GAP = 46, CHARACTER = 7.3, LABEL = 6.3, COUNT = 6.4;
const BARE = { width: 112, height: 46 }, COUNTED = { width: 156, height: 60 };
const PERSON = "\u0000person", START = "\u0000start", END = "\u0000end";

// Steps, and who hands what to whom.
export function ways(graph) {
  const steps = graph.nodes.filter((node) => node.node_type === "step");
  const isStep = new Set(steps.map((node) => node.id));
  const nodes = new Map(steps.map((node) => [node.id, { id: node.id, label: node.label, title: node.description, kind: "step" }]));
  const arrows = new Map();
  const join = (source, target, label) => {
    const key = `${source}\u0001${target}`;
    if (!arrows.has(key)) arrows.set(key, { source, target, labels: [] });
    if (!arrows.get(key).labels.includes(label)) arrows.get(key).labels.push(label);
  };
  const other = (id, label) => { if (!nodes.has(id)) nodes.set(id, { id, label, kind: id === PERSON ? "person" : "end" }); return id; };
  for (const event of graph.nodes.filter((node) => node.node_type === "event")) {
    const from = graph.edges.filter((edge) => edge.target === event.id && isStep.has(edge.source)).map((edge) => edge.source);
    const to = graph.edges.filter((edge) => edge.source === event.id && isStep.has(edge.target)).map((edge) => edge.target);
    const is = (name) => event.event_types.includes(name);
    const sources = from.length ? from : is("StartEvent") ? [other(START, "start")] : is("HumanResponseEvent") ? [other(PERSON, "person")] : to.length ? from : [];
    const targets = to.length ? to : is("StopEvent") ? [other(END, "end")] : is("InputRequiredEvent") ? [other(PERSON, "person")] : [];
    for (const source of sources) for (const target of targets) join(source, target, event.label);
  }
  return { nodes: [...nodes.values()], arrows: [...arrows.values()] };
}

// Longest way from the beginning, with the arrows that close a circle left out.
function ranked(nodes, arrows) {
  const onward = new Map(nodes.map((node) => [node.id, []]));
  for (const arrow of arrows) if (arrow.source !== arrow.target) onward.get(arrow.source).push(arrow.target);
  const state = new Map(), order = [], back = new Set();
  const visit = (id) => {
    state.set(id, 1);
    for (const next of onward.get(id)) {
      if (state.get(next) === 1) back.add(`${id}\u0001${next}`);
      else if (!state.has(next)) visit(next);
    }
    state.set(id, 2);
    order.unshift(id);
  };
  const first = [START, ...nodes.map((node) => node.id).filter((id) => id !== PERSON && id !== END)].filter((id) => onward.has(id));
  for (const id of [...first, ...nodes.map((node) => node.id)]) if (!state.has(id)) visit(id);
  const ranks = new Map(nodes.map((node) => [node.id, 0]));
  for (const id of order) {
    for (const next of onward.get(id)) {
      if (!back.has(`${id}\u0001${next}`)) ranks.set(next, Math.max(ranks.get(next), ranks.get(id) + 1));
    }
  }
  return ranks;
}

function placed({ nodes, arrows }, box) {
  const ranks = ranked(nodes, arrows);
  const columns = [];
  for (const node of nodes) (columns[ranks.get(node.id)] ??= []).push(node);
  const filled = columns.filter(Boolean);
  const beside = (id) => arrows.filter((arrow) => arrow.target === id || arrow.source === id).map((arrow) => (arrow.target === id ? arrow.source : arrow.target));
  for (let turn = 0; turn < 4; turn += 1) {
    for (const column of filled) {
      const middle = new Map(column.map((node, index) => {
        const rows = beside(node.id).map((id) => filled.flat().find((one) => one.id === id)?.row ?? 0);
        return [node.id, rows.length ? rows.reduce((a, b) => a + b, 0) / rows.length : index];
      }));
      if (turn) column.sort((a, b) => middle.get(a.id) - middle.get(b.id));
      column.forEach((node, row) => { node.row = row - (column.length - 1) / 2; });
    }
  }
  const tallest = Math.max(...filled.map((column) => column.length));
  let x = 8;
  for (const [index, column] of filled.entries()) {
    const width = Math.max(...column.map((node) => (node.kind === "step" ? Math.max(box.width, node.label.length * CHARACTER + 28) : node.label.length * CHARACTER + 26)));
    for (const node of column) {
      node.width = node.kind === "step" ? width : node.label.length * CHARACTER + 26;
      node.height = node.kind === "step" ? box.height : 28;
      node.x = x + width / 2;
      node.y = (node.row + tallest / 2) * ROW;
    }
    const ids = new Set(column.map((node) => node.id));
    const words = arrows.filter((arrow) => ids.has(arrow.source)).flatMap((arrow) => arrow.labels).map((label) => label.length * LABEL);
    x += width + (index === filled.length - 1 ? 0 : Math.max(GAP, ...words.map((word) => word + 34)));
  }
  const circles = arrows.some((arrow) => arrow.source !== arrow.target && ranks.get(arrow.target) <= ranks.get(arrow.source));
  return { width: x + 8, height: tallest * ROW + (circles ? 34 : 0), ranks };
}

// The drawing; `counts(step)` gives what to say of a step, and `update` draws that anew.
export function drawn(graph, name, counts = null) {
  const shape = ways(graph);
  if (!shape.nodes.length) return { element: s("svg", {}), update() {} };
  const { width, height, ranks } = placed(shape, counts ? COUNTED : BARE);
  const by = new Map(shape.nodes.map((node) => [node.id, node]));
  const groups = new Map();
  const svg = s("svg", { class: "graph", role: "img", "aria-label": `Graph of ${name}: ${shape.arrows.map((arrow) => `${by.get(arrow.source).label} to ${by.get(arrow.target).label} by ${arrow.labels.join(", ")}`).join("; ")}`, viewBox: `0 0 ${width} ${height}`, width, height },
    s("defs", {}, s("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, s("path", { d: "M0 .8 7 4 0 7.2z", class: "tip" }))));
  for (const arrow of shape.arrows) svg.append(arrowed(arrow, by, ranks, height));
  for (const node of shape.nodes) {
    const group = boxed(node);
    groups.set(node.id, group);
    svg.append(group);
  }
  const update = () => {
    for (const node of shape.nodes) if (node.kind === "step") said(groups.get(node.id), node, counts?.(node.id));
  };
  update();
  return { element: svg, update };
}

function arrowed(arrow, by, ranks, height) {
  const from = by.get(arrow.source), to = by.get(arrow.target);
  const words = arrow.labels.join(" · ");
  if (from === to) {
    const x = from.x, y = from.y - from.height / 2;
    return s("g", {}, s("path", { class: "way", d: `M${x - 16} ${y}c-10 -26 42 -26 32 -2`, "marker-end": "url(#tip)" }), word(words, x, y - 22));
  }
  if (ranks.get(to.id) > ranks.get(from.id)) {
    const x1 = from.x + from.width / 2, x2 = to.x - to.width / 2 - 1, reach = Math.max(24, (x2 - x1) / 2);
    const d = `M${x1} ${from.y}C${x1 + reach} ${from.y} ${x2 - reach} ${to.y} ${x2} ${to.y}`;
    return s("g", {}, s("path", { class: "way", d, "marker-end": "url(#tip)" }), word(words, (x1 + x2) / 2, (from.y + to.y) / 2 - 6));
  }
  const low = Math.min(height - 12, Math.max(from.y + from.height / 2, to.y + to.height / 2) + 24);
  const y1 = from.y + from.height / 2, y2 = to.y + to.height / 2 + 1;
  const d = `M${from.x} ${y1}C${from.x} ${low} ${to.x} ${low} ${to.x} ${y2}`;
  return s("g", {}, s("path", { class: "way back", d, "marker-end": "url(#tip)" }), word(words, (from.x + to.x) / 2, low - 2));
}

function word(text, x, y) {
  return s("text", { class: "word", x, y, "text-anchor": "middle" }, text);
}

function boxed(node) {
  const { x, y, width, height } = node;
  const group = s("g", { class: `node ${node.kind}` },
    node.title && s("title", {}, node.title),
    s("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: node.kind === "step" ? 7 : height / 2 }));
  const label = s("text", { class: "label", x, y: y + (node.kind === "step" ? -4 : 4), "text-anchor": "middle" }, node.label);
  group.append(label);
  return group;
}

// What there is to say of a step, in one line or two; what is too long for its box is pressed together.
function said(group, node, found) {
  group.setAttribute("class", `node step ${found?.state ?? ""}`);
  const parts = found?.parts ?? [], lines = parts.length > 2 ? [parts.slice(0, 2), parts.slice(2)] : parts.length ? [parts] : [];
  group.querySelectorAll(".counts").forEach((one) => one.remove());
  for (const [index, line] of lines.entries()) {
    const long = line.map(([, text]) => text).join(" · ").length * COUNT > node.width - 12;
    group.append(s("text", { class: "counts", x: node.x, y: node.y + 14 + (lines.length > 1 ? 14 * index - 9 : 0), "text-anchor": "middle", textLength: long && node.width - 12, lengthAdjust: long && "spacingAndGlyphs" },
      line.flatMap(([kind, text], at) => [...(at ? [s("tspan", { class: "dot" }, " · ")] : []), s("tspan", { class: `is-${kind}` }, text)])));
  }
  group.querySelector(".label").setAttribute("y", node.y + (lines.length ? (lines.length > 1 ? -13 : -4) : 4));
}

// What there is to say of a step's deliveries.
export function countsOf(step, failed) {
  if (!step) return null;
  const parts = [];
  const add = (kind, number, label) => { if (number) parts.push([kind, `${count(number)} ${label}`]); };
  add("running", step.leased, "running");
  add("queued", step.queued + step.held + step.backlog, "queued");
  add("waiting", step.waiting, "waiting");
  add("timed_out", step.delayed, "retrying");
  add("failed", failed, "failed");
  add("completed", step.done - failed, "done");
  const state = step.leased ? "on" : failed ? "bad" : step.waiting ? "asks" : step.delayed ? "late" : step.done ? "over" : "";
  return { state, parts: parts.slice(0, 3) };
}
