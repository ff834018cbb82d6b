// Elements from data. Text is only ever set as text: nothing that a run carries is read as HTML.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

export function s(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) add(element, child);
    else if (child !== undefined && child !== null && child !== false) element.append(child);
  }
}

// Put other children in. What had the focus has it again, if there is the same among them.
export function put(element, ...children) {
  const held = element.contains(document.activeElement) ? document.activeElement : null;
  element.replaceChildren(...children.flat(3).filter((one) => one !== undefined && one !== null && one !== false));
  if (held && !held.isConnected) {
    const same = (one) => one.tagName === held.tagName && one.getAttribute("href") === held.getAttribute("href") && one.textContent === held.textContent;
    [...element.querySelectorAll("a, button, summary")].find(same)?.focus({ preventScroll: true });
  }
  return element;
}

export function short(workflow) {
  return workflow.slice(workflow.lastIndexOf(".") + 1);
}

export function home(workflow) {
  const at = workflow.lastIndexOf(".");
  return at < 0 ? "" : workflow.slice(0, at);
}

export function named(workflow) {
  return h("span", { class: "flow", title: workflow }, h("span", {}, short(workflow)), home(workflow) && h("span", { class: "module" }, home(workflow)));
}

export function tagged(run) {
  return Object.entries(run.tags).map(([name, value]) => h("span", { class: "tag", title: `${name}=${value}` }, `${name}=${value}`));
}

const LABELS = { timed_out: "timed out", leased: "running", done: "done" };

export function status(name, extra) {
  return h("span", { class: `status is-${name}` }, h("i", { "aria-hidden": "true" }), LABELS[name] ?? name, extra);
}

export function count(number) {
  return number.toLocaleString("en");
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 0) ms = 0;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.floor(ms / 1000), minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (minutes < 60) return `${minutes} m ${pad(seconds % 60)} s`;
  if (hours < 48) return `${hours} h ${pad(minutes % 60)} m`;
  return `${days} d ${hours % 24} h`;
}

const pad = (number) => String(number).padStart(2, "0");

export function clock(at) {
  const moment = new Date(at), now = new Date();
  const time = `${pad(moment.getHours())}:${pad(moment.getMinutes())}:${pad(moment.getSeconds())}`;
  if (moment.toDateString() === now.toDateString()) return time;
  const day = moment.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return `${day} ${time}`;
}

export function when(at) {
  if (!at) return h("span", { class: "faint" }, "–");
  const moment = new Date(at);
  return h("time", { datetime: moment.toISOString(), title: `${moment.toLocaleString()} (${moment.toISOString()})` }, clock(at));
}

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (number >= 1024 && at < units.length - 1) { number /= 1024; at += 1; }
  return `${number.toFixed(at && number < 10 ? 1 : 0)} ${units[at]}`;
}

// Data as a person reads it: a text as it is, anything else as indented JSON.
export function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

export function oneLine(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text === undefined ? "" : text.length > 400 ? `${text.slice(0, 400)}…` : text;
}

export function toast(text, kind = "") {
  const one = h("div", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(one);
  setTimeout(() => one.remove(), kind === "bad" ? 8000 : 4000);
}

export function empty(title, text, ...more) {
  return h("div", { class: "empty" }, h("strong", {}, title), h("p", {}, text), more);
}

// A question with two buttons; resolves to whether it was confirmed.
export function confirmed(title, text, yes, detail) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "ask-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "ask-title" }, title), h("p", {}, text), detail,
        h("div", { class: "row end" },
          h("button", { value: "no", class: "quiet" }, "Leave it"),
          h("button", { value: "yes", class: "danger" }, yes))));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function copyable(text) {
  return h("button", {
    class: "copy", type: "button", title: "Copy", "aria-label": `Copy ${text}`,
    onclick: async () => {
      try { await navigator.clipboard.writeText(text); toast("Copied"); } catch { toast("The browser does not allow copying here", "bad"); }
    },
  }, h("code", {}, text));
}
