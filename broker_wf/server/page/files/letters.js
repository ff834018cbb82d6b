// What was given up on, kept for a person.

import { h, put, named, when, empty, plural, pretty, toast, confirmed } from "./dom.js";
import { get, post, listen } from "./api.js";

// Only a delivery of a run can go on.
const hasRun = (one) => Boolean(one.run_id && one.delivery && one.step);

export function letters({ main, signal }) {
  const said = h("span", { class: "faint" }), all = h("span", { class: "changes" }), body = h("div", { class: "letters" });
  put(main, h("div", { class: "head" }, h("h1", {}, "Dead letters"), said, h("div", { class: "grow" }), all), body);
  let shown = null;

  async function load() {
    try {
      const found = await get("dlq", { limit: 200 }, signal);
      const key = `${found.total} ${found.dead_letters.map((one) => one.id).join()}`;
      if (key === shown) return;
      shown = key;
      said.textContent = found.total ? plural(found.total, "letter") : "";
      put(all, found.total > 1 && h("button", { class: "quiet", onclick: ({ target }) => retry(found.dead_letters.filter(hasRun).map((one) => one.id), target), disabled: !found.dead_letters.some(hasRun) }, "Retry those shown"), " ",
        found.total > 1 && h("button", { class: "danger", onclick: () => drop(found.dead_letters.map((one) => one.id)) }, `Drop ${found.total > found.dead_letters.length ? "those shown" : "all"}`));
      put(body, found.total ? found.dead_letters.map(letter)
        : empty("Nothing was given up on", "Deliveries that kill every worker, and what nobody can read, would be kept here."));
    } catch (error) {
      if (error.name !== "AbortError") put(body, empty("The dead letters cannot be listed", error.message));
    }
  }

  async function drop(ids) {
    if (!await confirmed(`Drop ${plural(ids.length, "letter")}?`, "What it holds is gone then. The run it belongs to has ended already, and stays as it is.", ids.length === 1 ? "Drop it" : "Drop them")) return;
    try {
      const done = await post("dlq:drop", { ids });
      toast(`${plural(done.dropped, "letter")} dropped`);
      load();
    } catch (error) { toast(error.message, "bad"); }
  }

  async function retry(ids, button) {
    button.disabled = true;
    try {
      const { letters } = await post("dlq:retry", { ids });
      const begun = letters.filter((one) => one.run_id), refused = letters.filter((one) => one.error);
      if (begun.length) toast(begun.length === 1 ? `Goes on as run ${begun[0].run_id}` : `${plural(begun.length, "run")} go on`);
      if (refused.length) toast(refused[0].error, "bad");
      if (ids.length === 1 && begun.length) location.hash = `#/runs/${encodeURIComponent(begun[0].run_id)}`;
      else load();
    } catch (error) { toast(error.message, "bad"); }
    button.disabled = false;
  }

  function letter(one) {
    const facts = [["Run", one.run_id && h("a", { href: `#/runs/${encodeURIComponent(one.run_id)}` }, one.run_id)], ["Workflow", one.workflow && named(one.workflow)],
      ["Step", one.step], ["Event", one.event], ["Delivery", one.delivery && h("code", {}, one.delivery)], ["Letter", h("code", {}, one.id)]].filter(([, value]) => value);
    return h("details", { class: "card letter", "data-letter": one.id },
      h("summary", {}, h("span", { class: "status is-failed" }, h("i", { "aria-hidden": "true" }), one.kind), h("span", { class: "about-run" }, one.workflow && named(one.workflow), one.step && h("span", { class: "module" }, one.step)), h("span", { class: "grow reason" }, one.reason), when(one.at)),
      h("dl", { class: "said" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      Object.keys(one.facts).length > 0 && h("pre", { class: "data", tabindex: "0" }, pretty(one.facts)),
      h("div", { class: "row actions changes" }, hasRun(one) && h("button", { class: "small", onclick: ({ target }) => retry([one.id], target) }, "Retry"), h("button", { class: "danger small", onclick: () => drop([one.id]) }, "Drop this letter")));
  }

  listen("status", ({ dead_letters }) => { if (shown === null || !shown.startsWith(`${dead_letters} `)) load(); }, signal);
  load();
}
