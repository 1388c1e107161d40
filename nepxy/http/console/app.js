// The console's start: who is signed in, the frame around the views, and the view that the address names.

import { h, fill } from "./dom.js";
import { dialogOpen } from "./dialog.js";
import { frame } from "./frame.js";
import { keys } from "./keys.js";
import { connect, disconnect, listen, live } from "./live.js";
import { refusal } from "./pieces.js";
import { here } from "./router.js";
import { session, start } from "./session.js";
import { signInForm } from "./sign_in.js";
import { VIEWS } from "./views.js";

const app = document.getElementById("app");
let framed = null;
let shown = null;
let opening = 0;

/** Sign-in and sign-out both begin the page anew. */
function begin() {
  close();
  document.querySelector("dialog[open]")?.close();
  disconnect();
  framed = null;
  if (!session.signedIn) {
    fill(app, signInForm());
    app.querySelector("input").focus();
    return;
  }
  framed = frame();
  fill(app, framed.node);
  connect();
  open();
}

/** Show the view of the address. A later one that was faster wins. */
async function open({ again = false } = {}) {
  if (!framed) return;
  const mine = ++opening;
  const place = here();
  const view = VIEWS[place.name] ?? VIEWS.overview;
  close();
  framed.mark(place.name);
  framed.title(view.title);
  document.title = `${view.title} · NepXy`;
  fill(framed.main, h("p", { class: "loading", role: "status" }, "Loading …"));
  try {
    const opened = await view.open(place);
    if (mine !== opening) return opened.close?.();
    shown = opened;
    fill(framed.main, opened.node);
    opened.placed?.();
    if (live.snapshot) opened.snapshot?.(live.snapshot);
  } catch (problem) {
    if (mine === opening && framed) fill(framed.main, refusal(problem, () => open({ again: true })));
    if (!("code" in problem)) console.error(problem);
  }
  if (mine === opening && !again) framed?.main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function close() {
  shown?.close?.();
  shown = null;
}

listen((kind, data) => {
  framed?.hear(kind, data);
  shown?.[kind]?.(data);
});
addEventListener("hashchange", () => open());
addEventListener("keydown", (event) => {
  if (framed && !dialogOpen()) keys(event, framed);
});
start(begin).catch((problem) => fill(app, h("main", { class: "alone" }, refusal(problem, () => location.reload()))));
