// Comes first: where a module or the style sheet does not arrive, the page is loaded again, once the server answers.
// A server that restarts does that, and so does a network that changes while the page loads: containers that start.

const PAUSE_MS = 2000;
let waits = false;

function again() {
  fetch(location.pathname).then(() => location.reload(), () => setTimeout(again, PAUSE_MS));
}

function notice(failure) {
  const part = failure.target;
  const needed = part instanceof HTMLScriptElement || (part instanceof HTMLLinkElement && part.rel === "stylesheet");
  if (!needed || waits) return;
  waits = true;
  setTimeout(again, PAUSE_MS);
}

addEventListener("error", notice, { capture: true });
