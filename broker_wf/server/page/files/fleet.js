// Who works, and what there is to do.

import { h, put, named, when, duration, count, empty, plural } from "./dom.js";
import { get, listen, newest } from "./api.js";

function followed({ signal }, draw) {
  if (newest) draw(newest);
  else Promise.all([get("workers", {}, signal), get("queues", {}, signal)]).then(([found, load]) => draw({ ...found, workflows: load.queues }), () => {});
  listen("status", draw, signal);
}

function meter(value, most, label) {
  return h("span", { class: "meter" }, h("progress", { max: most || 1, value, "aria-label": label }), h("span", { class: "num" }, `${count(value)} / ${count(most)}`));
}

export function workers(view) {
  const body = h("div");
  const said = h("span", { class: "faint" });
  put(view.main, h("div", { class: "head" }, h("h1", {}, "Workers"), said), body);
  let seen = new Map();
  followed(view, (status) => {
    const { workers } = status, gone = [...seen.values()].filter((one) => !workers.some((other) => other.id === one.id));
    const places = workers.reduce((sum, one) => sum + one.concurrency, 0);
    said.textContent = workers.length ? `${plural(workers.length, "worker")} with ${plural(places, "place")}` : "";
    put(body, workers.length || gone.length ? h("div", { class: "scroll card flush" }, h("table", { class: "wide" },
      h("thead", {}, h("tr", {}, ["Worker", "Host", "Process", "Serves", "Load", "Done", "Last heard of"].map((name) => h("th", { class: name === "Process" || name === "Done" ? "num" : "" }, name)))),
      h("tbody", {}, workers.map((one) => row(one)), gone.map((one) => row(one, true)))))
      : empty("No worker is alive", "Runs wait until one serves their workflow. Start one with broker-wf worker MODULE:ATTR."));
    for (const one of workers) seen.set(one.id, one);
    for (const one of gone) if (Date.now() - Date.parse(one.last_seen_at) > 300_000) seen.delete(one.id);
  });

  function row(one, gone = false) {
    return h("tr", { class: gone ? "gone" : "" },
      h("td", {}, h("span", { class: `status is-${gone ? "failed" : "completed"}` }, h("i", { "aria-hidden": "true" }), h("code", {}, one.id), gone && h("b", {}, " gone"))),
      h("td", {}, one.host), h("td", { class: "num" }, String(one.pid)),
      h("td", {}, h("div", { class: "stack" }, one.workflows.map((name) => named(name)))),
      h("td", {}, gone ? "" : meter(one.running, one.concurrency, "Places taken")), h("td", { class: "num" }, count(one.done)), h("td", {}, when(one.last_seen_at)));
  }
}

export function queues(view) {
  const body = h("div");
  put(view.main, h("div", { class: "head" }, h("h1", {}, "Queues"), h("span", { class: "faint" }, "Deliveries of each workflow")), body);
  const before = new Map();
  followed(view, ({ workflows, workers }) => {
    const places = (name) => workers.filter((one) => one.workflows.includes(name)).reduce((sum, one) => sum + one.concurrency, 0);
    put(body, workflows.length ? h("div", { class: "scroll card flush" }, h("table", { class: "wide" },
      h("thead", {}, h("tr", {}, [["Workflow"], ["Workers", 1], ["Waiting", 1], ["Oldest", 1], ["Running"], ["Limits"], ["Live runs", 1], ["Ended runs", 1], ["Ended a minute", 1]].map(([name, right]) => h("th", { class: right ? "num" : "" }, name)))),
      h("tbody", {}, workflows.map((one) => h("tr", {},
        h("td", {}, h("a", { class: "bare", href: `#/workflows/${encodeURIComponent(one.workflow)}` }, named(one.workflow))),
        h("td", { class: `num ${one.workers ? "" : "bad"}` }, one.workers ? count(one.workers) : "none"),
        h("td", { class: `num ${one.waiting ? "strong" : "faint"}` }, count(one.waiting)),
        h("td", { class: `num ${one.oldest_waiting_ms > 60_000 ? "bad" : ""}` }, one.oldest_waiting_ms === null ? "–" : duration(one.oldest_waiting_ms)),
        h("td", {}, one.workers ? meter(one.running, places(one.workflow), "Places taken") : h("span", { class: "num" }, count(one.running))),
        h("td", { class: "limits" }, limits(one)),
        h("td", { class: "num" }, h("a", { href: `#/runs?workflow=${encodeURIComponent(one.workflow)}&status=running` }, count(one.live_runs))),
        h("td", { class: "num" }, h("a", { href: `#/runs?workflow=${encodeURIComponent(one.workflow)}` }, count(one.ended_runs))),
        h("td", { class: "num" }, rate(one)))))))
      : empty("No workflow is known yet", "One appears when a worker serves it or a run is started."));
  });

  // What may go on at one time: runs of the workflow, deliveries of its steps.
  function limits(one) {
    const known = Object.entries(one.limits).map(([step, most]) => `${step} ${count(most)}`);
    if (one.max_runs) known.unshift(plural(one.max_runs, "run"));
    return known.length ? known.join(" · ") : h("span", { class: "faint" }, "none");
  }

  // How many runs end in a minute, over the last minute that was looked at.
  function rate(one) {
    const now = Date.now(), seen = before.get(one.workflow) ?? [];
    seen.push([now, one.ended_runs]);
    while (seen.length > 2 && now - seen[0][0] > 60_000) seen.shift();
    before.set(one.workflow, seen);
    const passed = now - seen[0][0], ended = one.ended_runs - seen[0][1];
    return passed < 3000 || ended < 0 ? "–" : count(Math.round((ended / passed) * 60_000));
  }
}
