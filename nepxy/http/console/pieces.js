// What views are made of: cards, facts, tables, badges, links and refusals.

import { fill, h, spoken } from "./dom.js";
import { ago, exact, moment, short, words } from "./format.js";
import { to } from "./router.js";

/** Which of four ways a word is to be taken; its colour follows, and never stands alone. */
const TONES = {
  CONFIRMED: "good", DONE: "good", APPLIED: "good", APPROVED: "good", ok: "good", closed: "good", live: "good", RUNNING: "busy",
  SENT: "busy", PENDING: "calm", CANCELLED: "calm", REVIEW: "wary", half_open: "wary", unknown: "wary", STOPPED: "wary",
  EXPIRED: "wary", stale: "wary", OPEN: "wary", connecting: "calm", FAILED: "bad", REJECTED: "bad", wrong: "bad", open: "bad",
};

export function badge(word, { tone = TONES[word] ?? "calm", text = words(word), title = null } = {}) {
  return h("span", { class: `badge ${tone}`, title }, text);
}

export function card(title, attributes, ...children) {
  const id = `card-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { class: "card", "aria-labelledby": id, ...attributes }, h("h2", { id }, title), children);
}

/** Names and values, in pairs. A value of null leaves its pair out. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => h("div", { "data-key": name }, h("dt", {}, name), h("dd", {}, value))),
  );
}

/**
 * A table that scrolls by itself where it is too wide. `columns`: {title, cell(row), number}; `key(row)` keeps a row's
 * node over updates.
 */
export function table(label, columns, rows, { empty = "Nothing here.", key = null, attributes = () => ({}) } = {}) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const head = columns.map((column) =>
    h("th", { scope: "col", class: column.number ? "number" : null }, column.title || spoken(column.spoken ?? "Actions")),
  );
  const body = rows.map((row) =>
    h(
      "tr",
      { "data-key": key ? String(key(row)) : null, ...attributes(row) },
      columns.map((column) => h("td", { class: column.number ? "number" : (column.kind ?? null) }, column.cell(row))),
    ),
  );
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)),
  );
}

/** A time, with the whole of it in its title. */
export function time(value, { relative = false } = {}) {
  if (!value) return "–";
  return h("time", { datetime: value, title: exact(value) }, relative ? ago(value) : moment(value));
}

export function payoutLink(id) {
  return id ? h("a", { class: "id", href: to("payout", [id]), title: id }, short(id)) : "–";
}

export function providerLink(name) {
  return name ? h("a", { href: to("providers", [name]) }, name) : "–";
}

export function button(text, onclick, { kind = "", key = null, title = null, disabled = false, label = null } = {}) {
  return h(
    "button",
    { type: "button", class: kind || null, "data-key": key, onclick, title, disabled, "aria-label": label },
    text,
  );
}

/** A text that one copies into a terminal. */
export function copyable(text) {
  const said = h("span", { class: "spoken", role: "status" });
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    fill(said, "copied");
  };
  return h("span", { class: "copyable" }, h("code", {}, text), button("Copy", copy, { kind: "small quiet" }), said);
}

/** A refusal: what was wrong, what to do, and the code that is the same for ever. */
export function refusal(problem, again = null) {
  const fields = problem.fields ?? [];
  return h(
    "div",
    { class: "refusal", role: "alert" },
    h("p", { class: "what" }, problem.message),
    problem.hint ? h("p", {}, problem.hint) : null,
    fields.length
      ? h("ul", {}, fields.map((field) => h("li", {}, h("b", {}, field.name), ` ${field.problem}`, field.hint ? `; ${field.hint}` : "")))
      : null,
    problem.document?.valid_commands ? h("p", {}, `Valid now: ${problem.document.valid_commands}.`) : null,
    h("p", { class: "faint" }, h("code", {}, problem.code ?? problem.name), problem.requestId ? ` request ${problem.requestId}` : ""),
    again ? button("Try again", again) : null,
  );
}

/** A field of a form with its label, and a hint that is read with it. */
export function field(label, control, hint = "") {
  const id = control.id || (control.id = `field-${Math.random().toString(36).slice(2, 10)}`);
  const hintId = `${id}-hint`;
  if (hint) control.setAttribute("aria-describedby", hintId);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, hint ? h("p", { class: "hint", id: hintId }, hint) : null);
}

export function options(values, blank = null) {
  const made = values.map((value) => (Array.isArray(value) ? value : [value, value]));
  if (blank !== null) made.unshift(["", blank]);
  return made.map(([value, text]) => h("option", { value }, text));
}

/** An object as lines of JSON; for what has no shape that we know. */
export function json(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return h("pre", { class: "json", tabindex: 0 }, text ?? "");
}
