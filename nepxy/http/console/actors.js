// The actors as they live now: a tree of supervisor, providers, journal and helpers; and any payout's by its id.

import { get } from "./api.js";
import { fill, h, patch } from "./dom.js";
import { count } from "./format.js";
import { badge, card, facts, field, refusal, time } from "./pieces.js";

const COLUMNS = ["Actor", "State", "Mailbox", "Doing", "Next", "Restarts", "Last error"];

export const actors = { title: "Actors", open };

async function open() {
  const tree = h("div", {});
  const folded = new Set();
  let last = await get("/v1/admin/actors");
  const show = () => patch(tree, treeOf(last.actors ?? [], folded, show));
  const total = h("p", { class: "faint" });
  const take = (document) => {
    last = Array.isArray(document) ? { ...last, actors: document } : document;
    if (last.payouts) patch(total, `${count(last.payouts.count)} payouts have an actor now; the others wait in the database.`);
    show();
  };
  take(last);
  return {
    node: h("div", { class: "stack" }, card("Tree", {}, tree, total), card("A payout's actor", {}, lookUp())),
    snapshot: (data) => data.actors && take(data.actors),
  };
}

function treeOf(rows, folded, show) {
  const known = new Set(rows.map((row) => row.name));
  const children = Map.groupBy(rows, (row) => (known.has(row.parent) ? row.parent : null));
  const lines = [];
  const walk = (parent, level) => {
    for (const row of children.get(parent) ?? []) {
      const has = children.has(row.name);
      lines.push({ row, level, has });
      if (has && !folded.has(row.name)) walk(row.name, level + 1);
    }
  };
  walk(null, 1);
  return h("div", { class: "scroll" },
    h("table", { role: "treegrid", "aria-label": "Actors", class: "tree" },
      h("thead", {}, h("tr", {}, COLUMNS.map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, lines.map((line) => lineOf(line, folded, show)))));
}

function lineOf({ row, level, has }, folded, show) {
  const open = !folded.has(row.name);
  const fold = (shut) => {
    if (shut) folded.add(row.name);
    else folded.delete(row.name);
    show();
  };
  const onkeydown = (event) => {
    if (event.key === "ArrowLeft" && has && open) fold(true);
    else if (event.key === "ArrowRight" && has && !open) fold(false);
    else if (event.key === "ArrowDown") event.currentTarget.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") event.currentTarget.previousElementSibling?.focus();
    else return;
    event.preventDefault();
  };
  return h("tr", { role: "row", "data-key": row.name, "aria-level": level, "aria-expanded": has ? String(open) : null, tabindex: 0, onkeydown, class: `level-${Math.min(level, 4)}` },
    h("td", { class: "actor" }, has ? h("button", { type: "button", class: "fold quiet", tabindex: -1, "aria-label": open ? "Fold" : "Unfold", onclick: () => fold(open) }, open ? "▾" : "▸") : h("span", { class: "fold" }),
      h("b", {}, row.name), " ", h("span", { class: "faint" }, row.name.startsWith(row.kind) ? "" : row.kind)),
    h("td", {}, badge(row.state, { tone: toneOf(row.state) })),
    h("td", { class: "number" }, count(row.mailbox_depth)),
    h("td", { class: "why" }, row.doing ?? ""),
    h("td", {}, time(row.next_at, { relative: true })),
    h("td", { class: "number" }, count(row.restarts)),
    h("td", { class: "why" }, row.last_error ? [row.last_error, " ", h("span", { class: "faint" }, time(row.last_error_at, { relative: true }))] : "–"));
}

function toneOf(state) {
  if (/dead|failed|stopped|crashed/i.test(state)) return "bad";
  return /paused|parked|draining|standby|open|behind/i.test(state) ? "wary" : "good";
}

function lookUp() {
  const box = h("input", { placeholder: "transaction id", spellcheck: "false", autocomplete: "off", required: true });
  const answer = h("div", {});
  async function find(event) {
    event.preventDefault();
    try {
      const row = await get(`/v1/admin/actors/payouts/${encodeURIComponent(box.value.trim())}`);
      fill(answer, facts(Object.entries(row).map(([name, value]) => [name.replaceAll("_", " "), /_at$/.test(name) && value ? time(value, { relative: true }) : value])));
    } catch (problem) {
      fill(answer, refusal(problem));
    }
  }
  return h("form", { class: "inline", onsubmit: find }, field("Transaction id", box), h("button", { type: "submit" }, "Look"), answer);
}
