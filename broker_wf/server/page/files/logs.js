// What the steps of a run log, as it comes.

import { h, put, when, oneLine } from "./dom.js";
import { run as at, get } from "./api.js";
import { Windowed } from "./list.js";

const HEIGHT = 26, LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"], RANKS = { DEBUG: 0, INFO: 1, WARNING: 2, ERROR: 3, CRITICAL: 3 };
const MOST = 5000, AT_ONCE = 1000;

export function logList(id, signal) {
  const list = new Windowed({ height: HEIGHT, row, key: (one) => one.cursor, label: "Log", columns: 5 });
  list.element.classList.add("log");
  const none = h("p", { class: "faint" }, "Nothing was logged yet.");
  const shown = h("pre", { class: "data", tabindex: "0", hidden: true });
  const level = h("select", { "aria-label": "Least level" }, LEVELS.map((name) => h("option", { value: name, selected: name === "INFO" }, name === "DEBUG" ? "All levels" : `${name.toLowerCase()} and above`)));
  const step = h("select", { "aria-label": "Step" }, h("option", { value: "" }, "All steps"));
  const filters = h("div", { class: "row filters", hidden: true }, level, step);
  let found = [];
  const steps = new Set();
  let after = "", asking = false, over = false;
  const later = [];

  // What was logged since. It is asked for with each look at the run, and not streamed: a browser opens few streams.
  async function look(ended) {
    if (asking || over) return;
    asking = true;
    try {
      const page = await get(`${at(id)}/logs`, { after, limit: AT_ONCE }, signal);
      after = page.next;
      for (const one of page.logs) if (!steps.has(one.step)) { steps.add(one.step); step.append(h("option", { value: one.step }, one.step)); }
      found = [...found, ...page.logs].slice(-MOST);
      asking = false;
      if (page.logs.length === AT_ONCE) return look(ended);
      if (page.logs.length) draw();
      // The last lines may come just behind the end.
      over = ended && later.length === 2;
      if (ended && !over) later.push(setTimeout(() => look(true), 700));
      else if (over && !found.length) draw();
    } catch (error) { asking = false; /* the next look tries again */ }
  }

  level.addEventListener("change", draw);
  step.addEventListener("change", draw);

  function draw() {
    const fits = found.filter((one) => (RANKS[one.level] ?? 1) >= RANKS[level.value] && (!step.value || one.step === step.value));
    none.textContent = found.length ? "No line fits." : over ? "Nothing was logged." : "Nothing was logged yet.";
    none.hidden = fits.length > 0;
    filters.hidden = !found.length;
    list.element.hidden = !fits.length;
    const end = list.element.scrollTop + list.element.clientHeight >= list.items.length * HEIGHT - 4;
    list.element.style.height = `${Math.min(fits.length, 14) * HEIGHT + 2}px`;
    list.show(fits);
    if (end) list.element.scrollTop = list.element.scrollHeight;
  }

  function row(one) {
    return h("div", { class: `item level-${one.level.toLowerCase()}`, role: "row" },
      h("span", { role: "cell" }, when(one.at)),
      h("span", { role: "cell", class: "level" }, one.level.toLowerCase()),
      h("span", { role: "cell", class: "type" }, h("button", { class: "plain", title: "Show it whole", onclick: () => open(one) }, one.attempt > 1 ? `${one.step} · attempt ${one.attempt}` : one.step)),
      h("span", { role: "cell", class: "value" }, oneLine(one.text)));
  }

  function open(one) {
    shown.hidden = shown.dataset.key === one.cursor && !shown.hidden;
    shown.dataset.key = one.cursor;
    put(shown, `${one.at}  ${one.level}  ${one.logger}\n${one.step}, attempt ${one.attempt}, ${one.worker}\n\n${one.text}`);
  }

  list.element.hidden = true;
  return { element: h("div", {}, none, filters, list.element, shown), look, close() { later.forEach(clearTimeout); list.close(); } };
}
