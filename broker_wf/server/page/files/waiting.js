// The questions that wait for a person.

import { h, put, empty, plural } from "./dom.js";
import { get, listen } from "./api.js";
import { questionCard } from "./run.js";

export function waiting({ main, signal }) {
  const said = h("span", { class: "faint" }), body = h("div", { class: "inbox" }), none = h("div");
  put(main, h("div", { class: "head" }, h("h1", {}, "Waiting for a person"), said), none, body);
  const cards = new Map();
  let loading = false;

  async function load() {
    if (loading) return;
    loading = true;
    try {
      const { waiting: found } = await get("waiting", {}, signal);
      const there = new Set();
      for (const one of found) {
        const { wait } = one, key = [wait.run_id, wait.delivery, wait.waiter_id, wait.asked_at].join("|");
        there.add(key);
        if (!cards.has(key)) { cards.set(key, questionCard(one, load, true)); body.append(cards.get(key)); }
      }
      for (const [key, card] of cards) if (!there.has(key)) { card.remove(); cards.delete(key); }
      said.textContent = found.length ? plural(found.length, "question") : "";
      put(none, found.length ? null : empty("Nobody is asked", "When a step waits for an answer, its question and the form for the answer stand here."));
    } catch (error) {
      if (error.name !== "AbortError") put(none, empty("The questions cannot be listed", error.message));
    } finally { loading = false; }
  }

  listen("runs", load, signal);
  listen("look", load, signal);
  const timer = setInterval(load, 3000);
  signal.addEventListener("abort", () => clearInterval(timer));
  load();
}
