// Runs done again: whole, from a step on, or from what they had not finished.

import { h, toast, confirmed, plural } from "./dom.js";
import { post, run as at } from "./api.js";

// A new id for each offer: however often it is pressed, there is one new run.
function newId() {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  return [...crypto.getRandomValues(new Uint8Array(12))].map((one) => letters[one % letters.length]).join("");
}

export function againButtons(run) {
  const ids = new Map();
  const offer = (name, step, kind) => h("button", { class: `changes ${kind}`, onclick: ({ target }) => {
    const from_step = step() || null;
    if (!ids.has(from_step)) ids.set(from_step, newId());
    begin(target, run, { from_step, run_id: ids.get(from_step) });
  } }, name);
  const [first, ...others] = run.unfinished;
  // Where nothing is kept of what became of its steps, none of them can be begun with.
  const done = run.steps.filter((one) => run.keeps_steps && one.done && !run.unfinished.includes(one.step));
  const from = done.length > 0 && h("select", { class: "changes", "aria-label": "Run again from" },
    h("option", { value: "" }, "from the start"), done.map(({ step }) => h("option", { value: step }, `from ${step}`)));
  return [
    offer("Run again", () => from && from.value, "quiet"), from,
    first !== undefined && offer(others.length ? "Go on with what was left" : `Go on from ${first}`, () => first, ""),
  ];
}

async function begin(button, run, wish) {
  button.disabled = true;
  try {
    const made = await post(`${at(run.run_id)}/rerun`, wish);
    toast(wish.from_step ? `A new run goes on from ${wish.from_step}` : "It was started again");
    location.hash = `#/runs/${encodeURIComponent(made.run_id)}`;
  } catch (error) {
    button.disabled = false;
    toast(error.message, "bad");
  }
}

export async function rerunMany(ids, unfinished, names, then) {
  const how = unfinished ? "Each goes on, as a new run, from what it had not finished." : "Each is started again, as a new run with the same start event.";
  const what = `${unfinished ? "Go on with" : "Run"} ${plural(ids.length, "run")}${unfinished ? "" : " again"}`;
  if (!await confirmed(`${what}?`, how, what, names)) return;
  try {
    const done = await post("runs:bulk", { action: "rerun", run_ids: ids, unfinished, dry_run: false });
    const refused = done.again.filter((one) => one.error);
    toast(`${plural(done.run_ids.length, "run")} started`);
    if (refused.length) toast(`${plural(refused.length, "run")} could not be: ${refused[0].error}`, "bad");
    then();
  } catch (error) { toast(error.message, "bad"); }
}
