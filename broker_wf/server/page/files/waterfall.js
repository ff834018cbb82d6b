// Executions over time: a row each, under the worker that had them.

import { h, put, count, duration, plural } from "./dom.js";
import { Windowed } from "./list.js";

const ROW = 24;
const BAD = new Set(["failed", "poison"]);
const IDLE = { waiting: "waiting for an answer", delayed: "to be tried again" };

export function waterfall() {
  const axis = h("div", { class: "axis", "aria-hidden": "true" });
  const list = new Windowed({ height: ROW, row, key: (one) => one.key, label: "Executions by worker", columns: 3 });
  list.element.classList.add("falls");
  const byWorker = h("input", { type: "checkbox", checked: true, onchange: () => { redraw(); } });
  const said = h("span", { class: "faint" });
  const element = h("div", { class: "waterfall" },
    h("div", { class: "row tight" }, h("label", { class: "tick" }, byWorker, "By worker"), said), axis, list.element);
  let rows = [], begin = 0, end = 1, last = { steps: [], from: null, to: null, toCome: 0 };

  function redraw() {
    const { steps, from, to, toCome } = last;
    begin = Date.parse(from);
    end = Math.max(to ? Date.parse(to) : Date.now(), begin + 1, ...steps.map((one) => (one.ended_at ? Date.parse(one.ended_at) : 0)));
    rows = byWorker.checked ? grouped(steps) : steps.map((one) => ({ key: one.delivery, one }));
    const workers = new Set(steps.map((one) => one.worker).filter(Boolean)).size;
    const begun = steps.filter((one) => one.worker).length;
    said.textContent = [begun && `${plural(begun, "execution")} on ${plural(workers, "worker")}`, toCome > 0 && `${count(toCome)} to come`].filter(Boolean).join(", ");
    put(axis, h("span"), h("span", { class: "marks" }, [0, 0.25, 0.5, 0.75, 1].map((part) => {
      const mark = h("i", {}, part ? duration((end - begin) * part) : "0");
      mark.style.left = `${part * 100}%`;
      return mark;
    })));
    list.element.style.height = `${Math.min(rows.length, 18) * ROW + 2}px`;
    list.show(rows);
  }

  function grouped(steps) {
    const groups = new Map();
    for (const one of steps) {
      const name = one.worker ?? (IDLE[one.state] ?? "not taken yet");
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(one);
    }
    return [...groups].flatMap(([name, its]) => [
      { key: `\u0000${name}`, group: name, number: its.length }, ...its.map((one) => ({ key: one.delivery, one }))]);
  }

  function row(item) {
    if (item.group) {
      return h("div", { class: "item group", role: "row" }, h("span", { role: "cell" }, item.group, h("span", { class: "faint" }, ` ${item.number}`)));
    }
    const { one } = item;
    const kind = BAD.has(one.outcome) ? "failed" : one.state === "done" ? "completed" : one.state === "leased" ? "running" : one.state === "waiting" ? "waiting" : one.state === "delayed" ? "timed_out" : "queued";
    const from = one.started_at ? Date.parse(one.started_at) : end;
    const to = one.ended_at ? Date.parse(one.ended_at) : Math.max(from, end);
    const took = one.started_at ? duration(to - from) : one.state === "delayed" ? `attempt ${one.attempt} is to come` : one.state;
    const bar = h("i", { class: `bar is-${kind}` });
    const left = Math.min(100, 100 * (from - begin) / (end - begin)), width = Math.min(100 - left, 100 * (to - from) / (end - begin));
    bar.style.left = `${Math.max(0, left)}%`;
    bar.style.width = `max(3px, ${width}%)`;
    const text = h("span", { class: "took" }, took);
    if (width > 16) { text.style.right = `calc(${100 - left - width}% + 6px)`; text.classList.add("inside"); }
    else if (left + width > 78) text.style.right = `calc(${100 - left}% + 6px)`;
    else text.style.left = `calc(${left + width}% + 6px)`;
    const title = `${one.step}, ${one.outcome ?? one.state}, attempt ${one.attempt}, ${took}${one.worker ? `, ${one.worker}` : ""}, delivery ${one.delivery}`;
    return h("div", { class: "item", role: "row", title, "aria-label": title },
      h("span", { role: "cell", class: "name" }, one.step, one.attempt > 1 && h("b", { class: "again", title: `attempt ${one.attempt}` }, ` ×${one.attempt}`)),
      h("span", { role: "cell", class: "track" }, bar, text));
  }

  return {
    element,
    // `toCome`: how many more there are, of which not all may be among the steps.
    show(steps, from, to, toCome) { last = { steps, from, to, toCome }; redraw(); },
    close() { list.close(); },
  };
}
