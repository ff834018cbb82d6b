// The frame: which view is shown, what stands beside it, light and dark.

import { h, put, count, bytes } from "./dom.js";
import { get, open, listen } from "./api.js";
import { runs } from "./runs.js";
import { run } from "./run.js";
import { workers, queues } from "./fleet.js";
import { letters } from "./letters.js";
import { waiting } from "./waiting.js";
import { workflows, workflow } from "./workflows.js";
import { signIn } from "./signin.js";

const VIEWS = [
  { path: "runs", name: "Runs", view: runs, one: run },
  { path: "waiting", name: "Waiting", view: waiting },
  { path: "workflows", name: "Workflows", view: workflows, one: workflow },
  { path: "queues", name: "Queues", view: queues },
  { path: "workers", name: "Workers", view: workers },
  { path: "dead", name: "Dead letters", view: letters },
];

const main = document.getElementById("main");
const badges = new Map();
let leave = null;
let shown = null;

function drawNav() {
  put(document.getElementById("nav"), VIEWS.map(({ path, name }) => {
    const badge = h("span", { class: "badge" });
    badges.set(path, badge);
    return h("a", { href: `#/${path}`, "data-view": path }, h("span", {}, name), badge);
  }));
}

function show() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const view = VIEWS.find((one) => one.path === name) ?? VIEWS[0];
  const given = new URLSearchParams(query);
  const id = rest.length ? decodeURIComponent(rest.join("/")) : null;
  if (shown?.view === view && shown.id === id && shown.changed?.(given)) return;
  leave?.abort();
  leave = new AbortController();
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === view.path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = id ?? view.name;
  document.title = `${title} · broker_wf`;
  put(main);
  const made = (id !== null && view.one ? view.one : view.view)({ main, id, given, signal: leave.signal });
  shown = { view, id, changed: made?.changed };
  if (document.activeElement === document.body) main.focus({ preventScroll: true });
  main.scrollTop = 0;
}

function drawStatus(status) {
  const live = status.workflows.reduce((sum, one) => sum + one.live_runs, 0);
  badge("runs", live);
  badge("workers", status.workers.length, status.workers.length === 0 ? "bad" : "");
  badge("queues", status.workflows.reduce((sum, one) => sum + one.waiting, 0));
  badge("dead", status.dead_letters, "bad");
  const { server } = status;
  put(document.getElementById("where"),
    h("div", { title: server.url }, h("span", { class: "faint" }, "namespace "), status.namespace),
    h("div", { class: "faint" }, `${server.name} ${server.version} · ${bytes(server.used_memory_bytes)}`));
}

export function badge(path, number, kind = "") {
  const element = badges.get(path);
  element.className = `badge ${number ? kind : "none"}`;
  element.textContent = number ? count(number) : path === "workers" ? "0" : "";
}

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" }[theme];
  try { localStorage.setItem("theme", theme); } catch { /* not remembered then */ }
}

function startTheme() {
  let theme = "auto";
  try { theme = localStorage.getItem("theme") ?? "auto"; } catch { /* as the system then */ }
  setTheme(THEMES.includes(theme) ? theme : "auto");
  document.getElementById("theme").addEventListener("click", () => {
    const at = THEMES.indexOf(document.documentElement.dataset.theme ?? "auto");
    setTheme(THEMES[(at + 1) % THEMES.length]);
  });
}

function typing(event) {
  return event.target.closest?.("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey;
}

// How many questions wait; asked seldom, because it is looked for in every live run.
async function countQuestions() {
  if (document.hidden) return;
  try { badge("waiting", (await get("waiting")).waiting.length, "asks"); } catch { /* the next time then */ }
}

drawNav();
startTheme();
const link = document.getElementById("link");
listen("link", (up) => put(link, h("i", { class: up ? "up" : "down", "aria-hidden": "true" }), up ? "Live" : "Connecting…"));
listen("trouble", ({ detail }) => put(link, h("i", { class: "down", "aria-hidden": "true" }), h("span", { title: detail }, "The server of the queue does not answer")));
listen("status", drawStatus);
addEventListener("hashchange", show);
document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  const at = "123456".indexOf(event.key);
  if (at >= 0 && event.key) location.hash = `#/${VIEWS[at].path}`;
  if (event.key === "/") { const field = main.querySelector("input[type=search]"); if (field) { event.preventDefault(); field.focus(); } }
});
document.addEventListener("unauthorized", () => signIn());
// Who may only look is shown nothing to press; the server would refuse it all the same.
async function learnRole() {
  try {
    const answer = await fetch(new URL("login", import.meta.url));
    const role = answer.ok ? (await answer.json()).role : "";
    if (role) document.documentElement.dataset.role = role;
    document.getElementById("role").textContent = role === "read" ? "Read only" : "";
  } catch { /* the link says that the server is away */ }
}

learnRole();
open();
show();
countQuestions();
setInterval(countQuestions, 10_000);
document.addEventListener("answered", countQuestions);
