// Runs done again: whole, or from what they had not finished.

import { h, toast, confirmed, plural } from "./dom.js";
import { post, run as at } from "./api.js";

// A new id for each offer: however often it is pressed, there is one new run.
function newId() {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  return [...crypto.getRandomValues(new Uint8Array(12))].map((one) => letters[one % letters.length]).join("");
}

export function againButtons(run) {
  const offer = (name, wish, kind) => {
    const run_id = newId();
    return h("button", { class: `changes ${kind}`, onclick: ({ target }) => begin(target, run, { ...wish, run_id }) }, name);
  };
  const [first, ...others] = run.unfinished;
  return [
    offer("Run again", {}, "quiet"),
    first !== undefined && offer(others.length ? "Go on with what was left" : `Go on from ${first}`, { from_step: first }, ""),
  ];
}

async function begin(button, run, wish) {
  button.disabled = true;
  try {
    const made = await post(`${at(run.run_id)}/rerun`, wish);
    toast(wish.from_step ? "It goes on as a new run" : "It was started again");
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
