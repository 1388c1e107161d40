// Shortcuts. A letter alone counts only where nobody types; `?` lists them.

import { h } from "./dom.js";
import { dialog } from "./dialog.js";
import { go } from "./router.js";
import { VIEWS } from "./views.js";

const PLACES = { o: "overview", q: "review", l: "payouts", p: "providers", a: "actors", e: "engine", s: "proposals", d: "discrepancies", u: "audit", w: "webhooks", i: "idempotency", b: "bulk", r: "reconcile" };
const SEQUENCE_MS = 1_500;

let goAt = 0;

export function keys(event, frame) {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const going = Date.now() - goAt < SEQUENCE_MS;
  goAt = 0;
  if (going && PLACES[event.key]) go(PLACES[event.key]);
  else if (event.key === "g") goAt = Date.now();
  else if (event.key === "/") frame.focusSearch();
  else if (event.key === "?") showKeys();
  else if (event.key === "j" || event.key === "k") move(frame.main, event.key === "j" ? 1 : -1);
  else return;
  event.preventDefault();
}

export function showKeys() {
  const list = [
    ["?", "this list"],
    ["/", "search"],
    ["j k", "next and previous row"],
    ["Enter", "open what has the focus"],
    ["Esc", "leave a dialog"],
    ["← →", "read a plot point by point; fold and unfold in the actor tree"],
    ...Object.entries(PLACES).map(([key, name]) => [`g ${key}`, VIEWS[name].title]),
  ];
  return dialog("Keyboard shortcuts", () =>
    h("dl", { class: "keys" }, list.map(([key, does]) => h("div", {}, h("dt", {}, key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, does)))),
  );
}

/** The next row's first link or button. */
function move(main, step) {
  const stops = [...main.querySelectorAll("tbody tr, .row")].map((row) => row.querySelector("a, button")).filter(Boolean);
  const rows = stops.map((stop) => stop.closest("tr, .row"));
  const now = rows.findIndex((row) => row.contains(document.activeElement));
  stops[Math.max(0, Math.min(stops.length - 1, now < 0 ? 0 : now + step))]?.focus();
}

function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}
