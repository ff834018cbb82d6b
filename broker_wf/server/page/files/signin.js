// Asking for the token, once for all requests that were refused.

import { h, toast } from "./dom.js";

let asking = false;

export function signIn() {
  if (asking) return;
  asking = true;
  const field = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true, id: "token" });
  const dialog = h("dialog", { "aria-labelledby": "signin" },
    h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        const answer = await fetch(new URL("../page/login", import.meta.url), {
          method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token: field.value }),
        });
        if (answer.ok) location.reload();
        else toast("That is not the token.", "bad");
      },
    },
    h("h2", { id: "signin" }, "This server asks for a token"),
    h("p", {}, "It is the one that broker-wf serve was started with."),
    h("label", { for: "token" }, "Token"), field,
    h("div", { class: "row end" }, h("button", {}, "Sign in"))));
  document.body.append(dialog);
  dialog.addEventListener("close", () => { asking = false; dialog.remove(); });
  dialog.showModal();
}
