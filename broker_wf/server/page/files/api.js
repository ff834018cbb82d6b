// The API, and what it tells by itself.

const ROOT = new URL("../", import.meta.url);
const API = new URL("api/v1/", ROOT);

export class Refused extends Error {
  constructor(status, kind, detail) {
    super(detail);
    this.status = status;
    this.kind = kind;
  }
}

export function address(path, query) {
  const url = new URL(`./${path}`, API);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (Array.isArray(value)) value.forEach((one) => url.searchParams.append(name, one));
    else if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

export async function get(path, query, signal) {
  return answered(await fetch(address(path, query), { signal, headers: { accept: "application/json" } }));
}

export async function post(path, body) {
  return answered(await fetch(address(path), {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body ?? {}),
  }));
}

async function answered(response) {
  let found = null;
  try { found = await response.json(); } catch (error) {
    if (response.ok) throw error; // given up while it was read; an error without JSON is told below
  }
  if (response.ok) return found;
  if (response.status === 401) document.dispatchEvent(new Event("unauthorized"));
  throw new Refused(response.status, found?.error ?? response.statusText, found?.detail ?? `The server answered ${response.status}.`);
}

export const run = (id) => `runs/${encodeURIComponent(id)}`;
export const flow = (name) => `workflows/${encodeURIComponent(name)}`;

// The stream of changes: one per page, kept open by the browser.
const told = new EventTarget();
let source = null;
export let newest = null;

export function listen(name, handler, signal) {
  told.addEventListener(name, (event) => handler(event.detail), { signal });
}

export function open() {
  source?.close();
  source = new EventSource(address("stream"));
  source.onopen = () => tell("link", true);
  source.onerror = () => tell("link", false);
  for (const name of ["status", "runs", "look", "trouble"]) {
    source.addEventListener(name, (event) => {
      const data = JSON.parse(event.data);
      if (name === "status") newest = data;
      tell(name, data);
    });
  }
}

function tell(name, detail) {
  told.dispatchEvent(new CustomEvent(name, { detail }));
}
