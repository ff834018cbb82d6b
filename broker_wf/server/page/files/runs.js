// The runs: newest first, filtered by the server, live, any number of them.

import { h, put, status, named, tagged, when, duration, count, plural, oneLine, toast, empty, confirmed } from "./dom.js";
import { get, post, run as at, listen } from "./api.js";
import { Windowed } from "./list.js";
import { rerunMany } from "./again.js";

const PAGE = 200, FURTHER = 1000;
const STATUSES = [["", "All"], ["running", "Running"], ["queued", "Queued"], ["completed", "Completed"], ["failed", "Failed"], ["timed_out", "Timed out"], ["cancelled", "Cancelled"]];
const SINCE = [["", "Any time"], ["900", "Last 15 minutes"], ["3600", "Last hour"], ["86400", "Last day"], ["604800", "Last week"]];

const LONGER = [["", "Any length"], ["1", "Over 1 s"], ["10", "Over 10 s"], ["60", "Over a minute"], ["600", "Over 10 minutes"], ["3600", "Over an hour"]];

// What is typed: words with = are tags, what stands behind error: is looked for in errors, the rest in ids and workflows.
function asWanted(text) {
  const [words, ...error] = text.split(/(?:^|\s)error:/);
  const all = words.trim().split(/\s+/), tag = all.filter((word) => /^[^=]+=/.test(word));
  return { q: all.filter((word) => !tag.includes(word)).join(" "), tag, error: error.join(" ").trim() };
}

const isLive = (run) => run.ended_at === null;
const isBad = (run) => run.status === "failed" || run.status === "timed_out";

export function runs({ main, given, signal }) {
  const wanted = { q: given.get("q") ?? "", workflow: given.get("workflow") ?? "", status: given.get("status") ?? "", since: given.get("since") ?? "", longer: given.get("longer") ?? "" };
  const chosen = new Set();
  let known = [], next = null, asked = 0, loading = false, loaded = false, missed = false;

  const search = h("input", { type: "search", placeholder: "Id, workflow, tag=value, error:text", title: "Part of an id or a workflow's name; tag=value; error: and what stands in the error", "aria-label": "Search runs by id or workflow", value: wanted.q, spellcheck: "false" });
  const flows = h("select", { "aria-label": "Workflow" }, h("option", { value: "" }, "All workflows"));
  const since = h("select", { "aria-label": "Since" }, SINCE.map(([value, label]) => h("option", { value, selected: value === wanted.since }, label)));
  const longer = h("select", { "aria-label": "Length" }, LONGER.map(([value, label]) => h("option", { value, selected: value === wanted.longer }, label)));
  const states = h("div", { class: "segments", role: "radiogroup", "aria-label": "Status" }, STATUSES.map(([value, label]) =>
    h("label", {}, h("input", { type: "radio", name: "status", value, checked: value === wanted.status, onchange: () => { wanted.status = value; changed(); } }), h("span", {}, label))));
  const said = h("span", { class: "faint", role: "status", "aria-live": "polite" });
  const bulk = h("div", { class: "bulk changes", hidden: true });
  const none = h("div");
  const all = h("input", { type: "checkbox", "aria-label": "Choose all live runs shown", disabled: true, onchange: () => { chooseAll(all.checked); } });
  const list = new Windowed({ height: 38, row, key: (run) => run.run_id, end: more, label: "Runs", columns: 6 });
  list.element.classList.add("runs");
  put(main,
    h("div", { class: "head" }, h("h1", {}, "Runs"), said, h("div", { class: "grow" }), h("a", { class: "button", href: "#/workflows" }, "Start a run")),
    h("div", { class: "tools" }, search, flows, since, longer, states),
    bulk,
    h("div", { class: "runs columns", "aria-hidden": "false" }, h("span", { class: "changes" }, all), h("span", {}, "Status"), h("span", {}, "Run"), h("span", {}, "Workflow"), h("span", {}, "Accepted"), h("span", { class: "num" }, "Took")),
    none, list.element);

  function row(run) {
    const box = h("input", {
      type: "checkbox", tabindex: "-1", checked: chosen.has(run.run_id), "aria-label": `Choose run ${run.run_id}`,
      onchange: () => { choose(run, box.checked); },
    });
    const cell = (...content) => h("span", { role: "cell" }, content);
    const took = run.ended_at ? duration(Date.parse(run.ended_at) - Date.parse(run.started_at ?? run.created_at)) : h("span", { class: "ticking", "data-from": run.started_at ?? run.created_at });
    if (took instanceof Element) tick(took);
    return h("div", { class: `item ${chosen.has(run.run_id) ? "chosen" : ""} ${run === list.current ? "at" : ""}`, role: "row" },
      cell(box), cell(status(run.status)),
      cell(h("a", { href: `#/runs/${encodeURIComponent(run.run_id)}`, class: "id", tabindex: "-1" }, run.run_id), tagged(run)),
      cell(named(run.workflow), run.error && h("span", { class: "why", title: run.error }, oneLine(run.error))), cell(when(run.created_at)), h("span", { role: "cell", class: "num" }, took));
  }

  function tick(element) {
    element.textContent = duration(Date.now() - Date.parse(element.dataset.from));
  }

  function query() {
    const from = wanted.since ? new Date(Date.now() - 1000 * Number(wanted.since)).toISOString() : "";
    return { ...asWanted(wanted.q), longer_than: wanted.longer, workflow: wanted.workflow, status: wanted.status, since: from, limit: PAGE };
  }

  async function load() {
    const mine = ++asked;
    loading = true;
    try {
      const page = await get("runs", query(), signal);
      if (mine !== asked) return;
      known = page.runs;
      next = page.next;
      loaded = true;
      draw();
      if (missed) { missed = false; load(); }
    } catch (error) { failed(error); } finally { if (mine === asked) loading = false; }
  }

  async function more() {
    if (loading || next === null) return;
    const mine = asked;
    loading = true;
    try {
      const page = await get("runs", { ...query(), limit: FURTHER, cursor: next }, signal);
      if (mine !== asked) return;
      const there = new Set(known.map((run) => run.run_id));
      known = known.concat(page.runs.filter((run) => !there.has(run.run_id)));
      next = page.next;
      draw();
    } catch (error) { failed(error); } finally { loading = false; }
  }

  function failed(error) {
    if (error.name !== "AbortError") put(none, empty("The runs cannot be listed", error.message));
  }

  function draw() {
    list.show(known);
    said.textContent = known.length ? `${count(known.length)}${next === null ? "" : "+"} shown` : "";
    const filtered = wanted.q || wanted.workflow || wanted.status || wanted.since || wanted.longer;
    put(none, known.length ? null : filtered
      ? empty("No run fits", "Change the search or the filters.", h("button", { class: "quiet", onclick: clear }, "Show all"))
      : empty("No runs yet", "Start one here, from a script, or with broker-wf run.", h("a", { class: "button", href: "#/workflows" }, "Start a run")));
    list.element.hidden = !known.length;
    drawBulk();
  }

  function fits(run) {
    const { q, tag, error } = asWanted(wanted.q);
    const took = Date.parse(run.ended_at ?? new Date().toISOString()) - Date.parse(run.started_at);
    // Which error a run has ended with is not told here: only the server finds such.
    if (error || tag.some((one) => run.tags[one.slice(0, one.indexOf("="))] !== one.slice(one.indexOf("=") + 1))) return false;
    if (wanted.longer && !(took > 1000 * Number(wanted.longer))) return false;
    return (!wanted.workflow || run.workflow === wanted.workflow) && (!wanted.status || run.status === wanted.status)
      && (!q || run.run_id.includes(q) || run.workflow.includes(q));
  }

  // What has changed stands in front: a list that is newest first gets it there.
  function merge(changes) {
    // What has changed is not the list: until that is there, nothing is shown that could be taken for it, and chosen.
    if (!loaded) { missed = true; return; }
    const fresh = new Map(changes.map((run) => [run.run_id, run]));
    const place = (run) => Date.parse(run.ended_at ?? run.created_at);
    const merged = known.map((run) => fresh.get(run.run_id) ?? run).filter((run) => asWanted(wanted.q).error || fits(run));
    const there = new Set(known.map((run) => run.run_id));
    for (const run of changes) {
      if (!isLive(run)) chosen.delete(run.run_id);
      if (!there.has(run.run_id) && fits(run)) merged.push(run);
    }
    known = merged.sort((a, b) => place(b) - place(a));
    draw();
  }

  function choose(run, on) {
    if (on) chosen.add(run.run_id); else chosen.delete(run.run_id);
    list.made.get(run.run_id)?.element.classList.toggle("chosen", on);
    drawBulk();
  }

  function chooseAll(on) {
    chosen.clear();
    if (on) for (const run of choosable()) chosen.add(run.run_id);
    list.made.forEach((made) => made.element.remove());
    list.made = new Map();
    list.draw();
    drawBulk();
  }

  function drawBulk() {
    const some = choosable().length;
    all.disabled = !some;
    all.setAttribute("aria-label", known.some(isLive) ? "Choose all live runs shown" : "Choose all runs shown that ended badly");
    all.checked = some > 0 && chosen.size >= some;
    all.indeterminate = chosen.size > 0 && chosen.size < some;
    bulk.hidden = !chosen.size;
    if (chosen.size) {
      const those = known.filter((run) => chosen.has(run.run_id));
      const live = those.filter(isLive), ended = those.filter((run) => !isLive(run)), bad = those.filter(isBad);
      put(bulk, h("strong", {}, plural(chosen.size, "run"), " chosen"),
        live.length > 0 && h("button", { class: "danger small", onclick: () => cancelChosen(live.map((run) => run.run_id)) }, `Cancel ${plural(live.length, "run")}`),
        ended.length > 0 && h("button", { class: "small", onclick: () => again(ended, false) }, `Run ${plural(ended.length, "run")} again`),
        bad.length > 0 && h("button", { class: "small", onclick: () => again(bad, true) }, `Go on with ${plural(bad.length, "run")}`),
        h("button", { class: "quiet small", onclick: () => chooseAll(false) }, "Choose none"));
    }
  }

  // What can be done to many at one time: live ones are cancelled, others that ended badly done again.
  function choosable() {
    return known.some(isLive) ? known.filter(isLive) : known.filter((run) => run.status !== "completed");
  }

  function namesOf(ids) {
    return h("pre", { class: "ids" }, ids.slice(0, 12).join("\n") + (ids.length > 12 ? `\nand ${ids.length - 12} more` : ""));
  }

  function again(those, unfinished) {
    const ids = those.map((run) => run.run_id);
    return rerunMany(ids, unfinished, namesOf(ids), () => { chosen.clear(); load(); });
  }

  async function cancelChosen(ids) {
    if (!await confirmed(`Cancel ${plural(ids.length, "run")}?`, "Steps that run now are stopped. A cancelled run does not go on.", `Cancel ${plural(ids.length, "run")}`, namesOf(ids))) return;
    try {
      const done = await post("runs:bulk", { action: "cancel", run_ids: ids, dry_run: false });
      toast(`${plural(done.run_ids.length, "run")} cancelled`);
      chosen.clear();
      load();
    } catch (error) { toast(error.message, "bad"); }
  }

  function changed() {
    const kept = Object.entries(wanted).filter(([, value]) => value);
    history.replaceState(null, "", `#/runs${kept.length ? `?${new URLSearchParams(kept)}` : ""}`);
    chosen.clear();
    list.element.scrollTop = 0;
    load();
  }

  function clear() {
    Object.assign(wanted, { q: "", workflow: "", status: "", since: "", longer: "" });
    search.value = flows.value = since.value = longer.value = "";
    states.querySelector("input").checked = true;
    changed();
  }

  let later = 0;
  search.addEventListener("input", () => { clearTimeout(later); later = setTimeout(() => { wanted.q = search.value.trim(); changed(); }, 180); });
  flows.addEventListener("change", () => { wanted.workflow = flows.value; changed(); });
  since.addEventListener("change", () => { wanted.since = since.value; changed(); });
  longer.addEventListener("change", () => { wanted.longer = longer.value; changed(); });
  list.element.addEventListener("keydown", (event) => {
    const page = Math.floor(list.element.clientHeight / list.height);
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page };
    const run = list.current;
    if (event.target !== list.element && event.key !== "Escape") return;
    if (event.key in steps) list.go(list.at + steps[event.key]);
    else if (event.key === "Home") list.go(0);
    else if (event.key === "End") list.go(known.length - 1);
    else if (event.key === "Enter" && run) location.hash = `#/runs/${encodeURIComponent(run.run_id)}`;
    else if ((event.key === "x" || event.key === " ") && run) { choose(run, !chosen.has(run.run_id)); list.made.get(run.run_id).element.querySelector("input").checked = chosen.has(run.run_id); }
    else return;
    event.preventDefault();
  });
  list.element.addEventListener("click", (event) => {
    const row = event.target.closest("[role=row]");
    if (row && !event.target.closest("a, input") && !getSelection().toString()) location.hash = row.querySelector("a").getAttribute("href");
  });
  listen("runs", merge, signal);
  listen("look", load, signal);
  listen("status", ({ workflows }) => drawFlows(workflows.map((one) => one.workflow)), signal);
  const ticking = setInterval(() => list.element.querySelectorAll(".ticking").forEach(tick), 1000);
  signal.addEventListener("abort", () => { clearInterval(ticking); list.close(); });

  function drawFlows(names) {
    if (names.join() === flows.dataset.names) return;
    flows.dataset.names = names.join();
    put(flows, h("option", { value: "" }, "All workflows"), names.map((name) => h("option", { value: name, selected: name === wanted.workflow }, name)));
  }
  get("workflows", {}, signal).then((found) => drawFlows(found.workflows.map((one) => one.name)), () => {});
  load();
}

export async function cancel(run, then) {
  if (!await confirmed("Cancel this run?", `${run.run_id} of ${run.workflow}. Steps that run now are stopped; it does not go on.`, "Cancel the run")) return;
  try {
    await post(`${at(run.run_id)}/cancel`);
    toast("The run was cancelled");
    then();
  } catch (error) { toast(error.message, "bad"); }
}
