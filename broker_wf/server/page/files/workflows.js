// The workflows: their graphs, and starting runs of them.

import { h, put, named, home, short, count, empty, plural, toast } from "./dom.js";
import { get, post, flow } from "./api.js";
import { drawn } from "./graph.js";
import { asked, formOf } from "./form.js";
import { card } from "./run.js";

const link = (name) => `#/workflows/${encodeURIComponent(name)}`;

export function workflows({ main, signal }) {
  const body = h("div", { class: "tiles" });
  put(main, h("div", { class: "head" }, h("h1", {}, "Workflows"), h("span", { class: "faint" }, "Choose one to see its graph or to start a run")), body);
  get("workflows", {}, signal).then(({ workflows: found }) => put(body, found.length ? found.map((one) => h("a", { class: "card tile", href: link(one.name) },
    h("h2", {}, short(one.name)), h("div", { class: "module" }, home(one.name)),
    h("p", {}, one.description?.split("\n")[0] ?? ""),
    h("div", { class: "row faint" }, h("span", { class: one.workers ? "" : "bad" }, one.workers ? plural(one.workers, "worker") : "no worker"),
      h("span", {}, `${count(one.live_runs)} live`), h("span", {}, `${count(one.ended_runs)} ended`), !one.startable && h("span", {}, "code elsewhere"))))
    : empty("No workflow is known yet", "Give some to broker-wf serve, or start a worker.")),
  (error) => { if (error.name !== "AbortError") put(body, empty("The workflows cannot be listed", error.message)); });
}

const OPTIONS = { properties: {
  tags: { type: "object", default: {}, description: "Texts to find the run by, as a JSON object." },
  delay: { type: "string", format: "duration", description: "Begin so much later: seconds, 30s, 5m, 2h, PT5M." },
  priority: { enum: ["high", "normal", "low"], default: "normal" },
  fairness_key: { type: "string", format: "text", description: "Of runs that wait for a turn, one of each key is next." },
  run_id: { type: "string", format: "text", description: "Otherwise a new one." },
} };

export function workflow({ main, id, signal }) {
  const figure = h("figure", { class: "figure", tabindex: "0" }), about = h("div"), start = h("div");
  put(main, h("div", { class: "head run" }, h("a", { class: "back", href: "#/workflows" }, "Workflows"), h("div", { class: "title" }, h("h1", {}, named(id))),
    h("div", { class: "row" }, h("a", { class: "button quiet", href: `#/runs?workflow=${encodeURIComponent(id)}` }, "Its runs"))), about, card("Graph", figure), start);
  get(`${flow(id)}/graph`, {}, signal).then((graph) => {
    put(about, graph.description && h("p", { class: "lead" }, graph.description));
    put(figure, drawn(graph, id).element);
  }, (error) => put(figure, empty("Its graph is not known", error.message)));
  get(`${flow(id)}/schemas`, {}, signal).then((schemas) => {
    const schema = schemas.events[schemas.start];
    if (!schema) { put(start, card("Start a run", h("p", { class: "faint" }, "This server has not the workflow's code, so it cannot start it."))); return; }
    const options = formOf(OPTIONS), more = h("details", { class: "options" }, h("summary", {}, "Options"), options.element);
    put(start, card("Start a run", schema.description && h("p", { class: "faint" }, schema.description.split("\n")[0]), asked(schema, "Start", async (event) => {
      const made = await post("runs", { workflow: id, event, ...options.value() });
      toast("The run was accepted");
      location.hash = `#/runs/${encodeURIComponent(made.run_id)}`;
    }, "", more)));
  }, () => {});
}
