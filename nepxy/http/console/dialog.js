// A question that must be answered before anything else: the browser's own dialog, which keeps the focus inside.

import { fill, h } from "./dom.js";

let made = 0;

/**
 * Open a dialog. `body(close)` gives its content; the answer is resolved with what `close` was called with, or
 * undefined where it was left by Escape.
 */
export function dialog(title, body, { wide = false } = {}) {
  return new Promise((resolve) => {
    const id = `dialog-${++made}`;
    const before = document.activeElement;
    const box = h("dialog", { class: wide ? "wide" : null, "aria-labelledby": id });
    const close = (answer) => {
      box.returned = answer;
      box.close();
    };
    fill(
      box,
      h("header", {}, h("h2", { id }, title), h("button", { type: "button", class: "quiet small", onclick: () => close(), "aria-label": "Close" }, "✕")),
      h("div", { class: "content" }, body(close)),
    );
    box.onclose = () => {
      box.remove();
      if (before?.isConnected) before.focus();
      resolve(box.returned);
    };
    document.body.append(box);
    box.showModal();
    (box.querySelector("[autofocus]") ?? box.querySelector(".content input, .content textarea, .content select, .content button"))?.focus();
  });
}

/** Is one open now? Shortcuts are for the page alone. */
export function dialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}

let notes = null;

/** Say something that needs no answer; a screen reader says it, too. */
export function say(text, tone = "good") {
  notes ??= document.body.appendChild(h("div", { class: "notes", role: "status", "aria-live": "polite" }));
  const note = h("p", { class: `note ${tone}` }, text);
  notes.append(note);
  setTimeout(() => note.remove(), 8_000);
}
