// One run: the same while it goes on and long after.

import { h, put, status, named, tagged, when, duration, clock, plural, pretty, oneLine, copyable, empty, toast, count } from "./dom.js";
import { get, post, run as at, flow, address, listen } from "./api.js";
import { drawn, countsOf } from "./graph.js";
import { waterfall } from "./waterfall.js";
import { asked } from "./form.js";
import { cancel } from "./runs.js";
import { Windowed } from "./list.js";
import { logList } from "./logs.js";
import { againButtons } from "./again.js";

const FAST = 400, SLOW = 2500;

export function run({ main, id, signal }) {
  const parts = { head: h("div", { class: "head run" }), facts: h("dl", { class: "facts" }), trouble: h("div"), questions: h("div"), result: h("div") };
  const figure = h("figure", { class: "figure", tabindex: "0" });
  const falls = waterfall();
  const events = eventList(id, signal), logs = logList(id, signal);
  const now = h("div"), state = h("div");
  put(main, parts.head, parts.facts, parts.trouble, parts.questions,
    card("Steps", figure), card("Timeline", falls.element), parts.result, now, card("Events", events.element), card("Log", logs.element), state);
  let detail = null, graph = null, executions = [], pause = FAST, timer = 0;

  async function look() {
    try {
      const [found, rows] = await Promise.all([get(at(id), {}, signal), get(`${at(id)}/steps`, {}, signal)]);
      const was = detail && JSON.stringify(detail);
      detail = found;
      executions = rows.steps;
      pause = was === JSON.stringify(found) ? Math.min(SLOW, pause * 1.5) : FAST;
      if (graph === null) await loadGraph();
      draw();
      logs.look(found.run.ended_at !== null);
      if (found.run.ended_at === null) timer = setTimeout(look, pause);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 404) put(main, empty("No such run", error.message, h("a", { class: "button", href: "#/runs" }, "All runs")));
      else timer = setTimeout(look, SLOW);
    }
  }

  async function loadGraph() {
    try {
      const found = await get(`${flow(detail.run.workflow)}/graph`, {}, signal);
      graph = drawn(found, detail.run.workflow, (step) => countsOf(
        detail.run.steps.find((one) => one.step === step),
        executions.filter((one) => one.step === step && (one.outcome === "failed" || one.outcome === "poison")).length));
      put(figure, graph.element);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      graph = { update: drawTable };
    }
  }

  // Where no graph is known: the counts alone.
  function drawTable() {
    put(figure, h("table", {}, h("thead", {}, h("tr", {}, ["Step", "Running", "Queued", "Waiting", "Retrying", "Done"].map((name) => h("th", {}, name)))),
      h("tbody", {}, detail.run.steps.map((one) => h("tr", {}, [one.step, one.leased, one.queued + one.held + one.backlog, one.waiting, one.delayed, one.done].map((value) => h("td", {}, String(value))))))));
  }

  function draw() {
    const { run } = detail, live = run.ended_at === null;
    document.title = `${run.status} · ${run.run_id} · broker_wf`;
    put(parts.head,
      h("a", { class: "back", href: "#/runs" }, "Runs"),
      h("div", { class: "title" }, h("h1", {}, named(run.workflow)), status(run.status)),
      h("div", { class: "row" }, copyable(run.run_id), h("div", { class: "grow" }),
        h("a", { class: "button quiet", href: `#/workflows/${encodeURIComponent(run.workflow)}` }, "Workflow"),
        live ? h("button", { class: "danger changes", onclick: () => cancel(run, look) }, "Cancel run") : againButtons(run)));
    const end = run.ended_at ? Date.parse(run.ended_at) : Date.now();
    const other = (run_id) => h("a", { href: `#/runs/${encodeURIComponent(run_id)}` }, run_id);
    const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    const bar = h("progress", { class: `is-${run.status}`, max: detail.total || 1, value: detail.done, "aria-label": "Deliveries ended" });
    put(parts.facts,
      fact("Accepted", when(run.created_at)),
      run.begins_at && fact("Begins", when(run.begins_at)),
      fact("Waited", run.started_at ? duration(Date.parse(run.started_at) - Date.parse(run.created_at)) : run.status === "queued" ? (run.begins_at ? "for its moment" : "for its turn") : "for a worker"),
      fact(live ? "Running for" : "Took", run.started_at ? duration(end - Date.parse(run.started_at)) : "–"),
      live ? fact("Times out", run.deadline_at ? when(run.deadline_at) : "never") : fact("Ended", when(run.ended_at)),
      Object.keys(run.tags).length > 0 && fact("Tags", tagged(run)),
      run.priority !== "normal" && fact("Priority", run.priority),
      run.fairness_key && fact("Fairness key", run.fairness_key),
      run.rerun_of && fact("Does again", other(run.rerun_of)),
      run.rerun_as && fact("Done again as", other(run.rerun_as)),
      h("div", { class: "wide" }, h("dt", {}, "Deliveries"), h("dd", {}, h("span", {}, `${count(detail.done)} of ${count(detail.total)}`), bar)));
    drawTrouble(run);
    graph?.update();
    const toCome = live ? run.steps.reduce((sum, one) => sum + one.queued + one.held + one.backlog + one.delayed, 0) : 0;
    falls.show(executions, run.started_at ?? run.created_at, run.ended_at, toCome);
    put(parts.result, run.status === "completed" && card("Result", h("div", {}, run.result_type && run.result_type !== "StopEvent" && h("div", { class: "kind" }, run.result_type), block(run.result))));
    drawNow(run);
    drawState();
    drawQuestions(run);
  }

  function drawTrouble(run) {
    const { error } = run;
    if (!error || run.status === "cancelled") { put(parts.trouble); return; }
    if (parts.trouble.firstChild) return;
    put(parts.trouble, h("section", { class: "card trouble" },
      h("h2", {}, error.type.replace(/^builtins\./, ""), error.step && h("span", { class: "faint" }, ` in step ${error.step}${error.attempts ? `, attempt ${error.attempts}` : ""}`)),
      h("p", { class: "message" }, error.message),
      error.traceback && h("details", { open: true }, h("summary", {}, "Traceback"), h("pre", { tabindex: "0" }, error.traceback))));
  }

  // What is on its way: with the last error of what is tried again.
  let listed = "";
  function drawNow(run) {
    const shown = run.deliveries.filter((one) => one.last_error || one.state === "leased" || one.state === "delayed").slice(0, 50);
    const key = JSON.stringify(shown);
    if (key === listed) return;  // a traceback that is open stays so
    listed = key;
    put(now, shown.length > 0 && card("Now", h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["State", "Step", "Event", "Attempt", "Worker", "Since", "Last error"].map((name) => h("th", { class: name === "Attempt" ? "num" : "" }, name)))),
      h("tbody", {}, shown.map((one) => h("tr", {},
        h("td", {}, status(one.state)), h("td", {}, one.step), h("td", {}, one.event), h("td", { class: "num" }, String(one.attempt)),
        h("td", {}, one.worker ? h("code", {}, one.worker) : h("span", { class: "faint" }, one.due_at ? `again at ${clock(one.due_at)}` : "–")),
        h("td", {}, when(one.started_at ?? one.created_at)),
        h("td", { class: "error" }, one.last_error ? h("details", {}, h("summary", {}, oneLine(`${one.last_error.type.replace(/^builtins\./, "")}: ${one.last_error.message}`)), h("pre", {}, one.last_error.traceback)) : ""))))))));
  }

  // The Context's state, which steps share: read when it is opened, and again with each look while it is open.
  let held = null;
  async function drawState() {
    if (held === null) {
      held = h("details", { class: "card", ontoggle: drawState }, h("summary", {}, "Context"), h("div"));
      put(state, held);
    }
    if (!held.open) return;
    try {
      const found = (await get(`${at(id)}/state`, {}, signal)).state, names = Object.keys(found);
      put(held.lastChild, names.length ? h("dl", { class: "said" }, names.map((name) => [h("dt", {}, name), h("dd", {}, h("pre", {}, pretty(found[name])))])) : h("p", { class: "faint" }, "Nothing is kept in it."));
    } catch (error) { if (error.name !== "AbortError") put(held.lastChild, error.message); }
  }

  let questions = "";
  async function drawQuestions(run) {
    if (!run.steps.some((one) => one.waiting) || run.ended_at !== null) { questions = ""; put(parts.questions); return; }
    try {
      const found = await get("waiting", { workflow: run.workflow }, signal);
      const mine = found.waiting.filter((one) => one.wait.run_id === run.run_id);
      const key = JSON.stringify(mine.map((one) => [one.wait.delivery, one.wait.waiter_id, one.wait.asked_at]));
      if (key === questions) return;  // a form that is being filled in stays
      questions = key;
      put(parts.questions, mine.map((one) => questionCard(one, look)));
    } catch { /* the next look tries again */ }
  }

  listen("runs", (changes) => {
    if (changes.some((one) => one.run_id === id) && detail?.run.ended_at === null) { clearTimeout(timer); pause = FAST; look(); }
  }, signal);
  signal.addEventListener("abort", () => { clearTimeout(timer); falls.close(); events.close(); logs.close(); });
  look();
}

export function card(title, ...content) {
  return h("section", { class: "card" }, h("h2", {}, title), content);
}

export function block(value) {
  return h("pre", { class: "data", tabindex: "0" }, pretty(value));
}

// A question with the form of its answer.
export function questionCard({ wait, schemas }, then, linked = false) {
  const names = Object.keys(schemas);
  const shown = wait.question && typeof wait.question === "object" ? Object.entries(wait.question) : [];
  const forms = names.map((name) => h("div", {},
    names.length > 1 && h("h3", {}, name),
    asked(answerable(schemas[name], wait), "Send the answer", async (value) => {
      await post(`${at(wait.run_id)}/events`, { type: name, value });
      toast("The answer was sent");
      document.dispatchEvent(new Event("answered"));
      then();
    })));
  return h("section", { class: "card question" },
    h("h2", {}, wait.question_type ?? (wait.step ? `Step ${wait.step} waits` : "Waits for an event from outside"),
      h("span", { class: "faint" }, linked ? [" ", h("a", { href: `#/runs/${encodeURIComponent(wait.run_id)}` }, wait.run_id), wait.step && " · "] : wait.step && " · ", wait.step && `step ${wait.step}`)),
    h("div", { class: "asks" },
      shown.length > 0 && h("dl", { class: "said" }, shown.map(([name, value]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, pretty(value))])),
      h("p", { class: "faint" }, wait.asked_at && ["Asked ", when(wait.asked_at), ". "], wait.due_at ? ["Waits until ", when(wait.due_at), "."] : "Waits without end.",
        wait.requires.length > 0 && ` Must fit: ${wait.requires.join(", ")}.`)),
    names.length ? forms : h("p", { class: "faint" }, `An answer is an event ${wait.events.join(" or ")}. This server has not the workflow's code and cannot make one; send it with a client that has.`));
}

// What an answer must say to be the one that is waited for is filled in from the question, where it has the same field.
function answerable(schema, wait) {
  const known = wait.question && typeof wait.question === "object" ? wait.question : {};
  const properties = { ...schema.properties };
  for (const name of Object.keys(properties)) {
    if (name in known && (wait.requires.includes(name) || (schema.required ?? []).includes(name))) properties[name] = { ...properties[name], default: known[name] };
  }
  return { ...schema, properties };
}

function eventList(id, signal) {
  const list = new Windowed({ height: 30, row, key: (one) => one.key, label: "Events", columns: 4 });
  list.element.classList.add("events");
  const none = h("p", { class: "faint" }, "Nothing was published yet.");
  const shown = h("pre", { class: "data", tabindex: "0", hidden: true });
  const found = [];
  let queued = false;
  const source = new EventSource(address(`${at(id)}/events`, { sse: true }));
  source.onmessage = ({ data }) => {
    const one = JSON.parse(data);
    found.push({ ...one, key: found.length });
    if (!queued) { queued = true; requestAnimationFrame(() => { queued = false; draw(); }); }
  };
  source.addEventListener("end", () => { source.close(); draw(); });
  source.addEventListener("trimmed", ({ data }) => { source.close(); put(none, JSON.parse(data).detail); none.hidden = false; });
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) source.close(); };

  function draw() {
    none.hidden = found.length > 0;
    list.element.hidden = !found.length;
    const end = list.element.scrollTop + list.element.clientHeight >= list.items.length * 30 - 4;
    list.element.style.height = `${Math.min(found.length, 12) * 30 + 2}px`;
    list.show([...found]);
    if (end) list.element.scrollTop = list.element.scrollHeight;
  }

  function row(one) {
    return h("div", { class: "item", role: "row" },
      h("span", { role: "cell", class: "faint num" }, String(one.seq)), h("span", { role: "cell" }, when(one.at)),
      h("span", { role: "cell", class: "type" }, h("button", { class: "plain", title: "Show it whole", onclick: () => open(one) }, one.type)),
      h("span", { role: "cell", class: "faint" }, one.step ?? ""),
      h("span", { role: "cell", class: "value" }, oneLine(one.value)));
  }

  function open(one) {
    shown.hidden = shown.dataset.key === String(one.key) && !shown.hidden;
    shown.dataset.key = String(one.key);
    put(shown, `${one.type} ${one.seq}\n${pretty(one.value)}`);
  }

  list.element.hidden = true;
  return { element: h("div", {}, none, list.element, shown), close() { source.close(); list.close(); } };
}
