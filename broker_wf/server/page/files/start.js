// Comes first: where a module or the style sheet does not arrive, the page is loaded again.
// A server that restarts does that, and so does a network that changes while the page loads: containers that start.

const PAUSE_MS = 2000;

function again(failure) {
  const part = failure.target;
  const needed = part instanceof HTMLScriptElement || (part instanceof HTMLLinkElement && part.rel === "stylesheet");
  if (needed) setTimeout(() => location.reload(), PAUSE_MS);
}

addEventListener("error", again, { capture: true });
