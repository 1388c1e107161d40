// How it stands: what is wrong and what helps, the money in doubt, payouts by state and provider over time.

import { get } from "./api.js";
import { fill, h, patch } from "./dom.js";
import { age, count, duration, money, share, words } from "./format.js";
import { badge, card, copyable, payoutLink, providerLink, refusal, table } from "./pieces.js";
import { doubtOf, isHeld } from "./engine.js";
import { plot } from "./plot.js";
import { to } from "./router.js";

const AGAIN_MS = 10_000;
const SPANS = [[15, "15 min"], [60, "1 h"], [180, "3 h"]];
const IN_FLIGHT = ["PENDING", "SENT", "REVIEW"];
const SETTLED = ["CONFIRMED", "FAILED"];
const MOVES_KEPT = 12;

export const overview = { title: "Overview", open };

async function open() {
  const parts = {
    figures: h("div", { class: "tiles" }),
    incidents: h("div", { class: "incidents" }),
    plots: h("div", { class: "plots" }),
    table: h("div", {}),
    moves: h("ol", { class: "moves" }),
  };
  const chosen = { minutes: 60 };
  const spans = h("div", { class: "choice", role: "group", "aria-label": "Time shown" }, SPANS.map(([minutes, text]) =>
    h("button", { type: "button", class: "small", "aria-pressed": String(minutes === chosen.minutes), onclick: (event) => choose(minutes, event.target) }, text)));
  let series = null;

  async function load() {
    series = await get("/v1/admin/series", { minutes: chosen.minutes });
    draw(parts.plots, series);
  }
  function choose(minutes, pressed) {
    chosen.minutes = minutes;
    for (const one of spans.children) one.setAttribute("aria-pressed", String(one === pressed));
    quietly(load);
  }
  const redraw = () => series && draw(parts.plots, series);
  const timer = setInterval(() => quietly(load), AGAIN_MS);
  addEventListener("resize", redraw);

  return {
    node: h("div", { class: "stack" }, parts.figures,
      card("Incidents", {}, parts.incidents),
      card("Payouts over time", {}, spans, parts.plots),
      h("div", { class: "halves" }, card("In flight now", {}, parts.table), card("Just moved", {}, parts.moves, parts.none = h("p", { class: "empty" }, "Payouts that move while you look appear here.")))),
    placed: () => load().catch((problem) => fill(parts.plots, refusal(problem))),
    snapshot(data) {
      patch(parts.figures, tiles(data));
      patch(parts.incidents, incidents(data.incidents ?? []));
      patch(parts.table, inFlight(data.summary?.in_flight ?? []));
    },
    changed(data) {
      parts.none.hidden = true;
      parts.moves.prepend(h("li", {}, h("time", {}, new Date().toISOString().slice(11, 19)), payoutLink(data.transaction_id), badge(data.status), data.provider));
      while (parts.moves.children.length > MOVES_KEPT) parts.moves.lastChild.remove();
    },
    close() {
      clearInterval(timer);
      removeEventListener("resize", redraw);
    },
  };
}

async function quietly(load) {
  await load().catch(() => {}); // the sign in the frame says that nothing is heard
}

function tiles(data) {
  // A part that could not be had is null.
  const engine = data.engine ?? {};
  const providers = data.providers ?? [];
  const rows = data.summary?.in_flight ?? [];
  const review = rows.filter((row) => row.status === "REVIEW");
  const doubt = doubtOf(engine);
  const answered = providers.reduce((sum, one) => sum + (one.calls?.answered ?? 0), 0);
  const failed = providers.reduce((sum, one) => sum + (one.calls?.failed ?? 0), 0);
  const calls = answered + failed;
  return [
    tile("In flight", count(sum(rows)), amounts(rows), to("payouts", [], { status: IN_FLIGHT.join(",") })),
    tile("In doubt", count(doubt.count), doubt.count ? `${doubt.amounts}, oldest ${duration(doubt.oldestS)}` : "no money in doubt", to("review"), doubt.count ? "wary" : "good"),
    tile("In review", count(sum(review)), sum(review) ? `oldest ${age(oldest(review))}` : "nobody waits for a person", to("review"), sum(review) ? "wary" : "good"),
    tile("Calls answered", calls ? share(answered / calls) : "–", `of ${count(calls)} in 5 minutes`, to("providers"), calls && answered / calls < 0.9 ? "bad" : null),
    tile("Engine", words(engine.state ?? "–"), engineSays(engine), to("engine"), engine.state === "running" && engine.intake_open !== false && engine.journal_ok !== false && !isHeld(engine) ? "good" : "bad"),
  ];
}

function engineSays(engine) {
  if (isHeld(engine)) return "held since a restore: nothing is sent";
  if (engine.journal_ok === false) return "the journal does not commit";
  if (engine.intake_open === false) return `intake closed: ${engine.intake_reason ?? ""}`;
  return `${count(engine.payouts_in_memory)} payouts in memory`;
}

function tile(name, figure, says, href, tone = null) {
  return h("a", { class: `tile ${tone ?? ""}`, href, "data-key": name }, h("span", { class: "name" }, name), h("b", {}, figure), h("span", { class: "says" }, says));
}

function incidents(all) {
  const rank = { wrong: 0, unknown: 1, ok: 2 };
  const sorted = [...all].sort((one, other) => rank[one.state] - rank[other.state]);
  if (!sorted.length) return h("p", { class: "empty" }, "Not looked at yet.");
  return sorted.map((one) => h("details", { class: `incident ${one.state}`, "data-key": one.id, open: one.state === "wrong" },
    h("summary", {}, badge(one.state, { text: one.state === "ok" ? "well" : one.state }), h("b", {}, one.title), h("span", { class: "says" }, one.says)),
    h("div", { class: "helps" },
      figures(one.figures ?? {}),
      (one.commands ?? []).map((help) => h("div", { class: "help" }, h("p", {}, help.does), copyable(help.cli))))));
}

function figures(all) {
  const pairs = Object.entries(all).filter(([, value]) => value === null || typeof value !== "object");
  return pairs.length ? h("p", { class: "faint" }, pairs.map(([name, value]) => `${words(name)}: ${value ?? "–"}`).join(" · ")) : null;
}

function inFlight(rows) {
  return table("Payouts in flight by provider and state", [
    { title: "Provider", cell: (row) => providerLink(row.provider) },
    { title: "State", cell: (row) => h("a", { href: to("payouts", [], { status: row.status, provider: row.provider }) }, badge(row.status)) },
    { title: "Count", number: true, cell: (row) => count(row.count) },
    { title: "Amount", number: true, cell: (row) => money(row.amount, row.currency) },
    { title: "Oldest", number: true, cell: (row) => age(row.oldest_at) },
  ], rows, { empty: "Nothing is in flight.", key: (row) => `${row.provider} ${row.status} ${row.currency}` });
}

/** A plot of what is in flight and one of what was settled, for each provider that had any. */
function draw(place, { points = [], step_s: stepS }) {
  // Without states the database did not answer: that is no zero, and no point.
  const known = { states: points.filter((point) => point.states), settled: points.filter((point) => point.settled) };
  const names = [...new Set(points.flatMap((point) => [...Object.keys(point.states ?? {}), ...Object.keys(point.settled ?? {})]))].sort();
  const columns = place.clientWidth > 760 ? 2 : 1;
  const width = Math.max(280, Math.floor((place.clientWidth - (columns - 1) * 24) / columns));
  const figure = (provider, states, kind, from, title) => plot({
    title, kind, width, height: 140,
    times: known[from].map((point) => new Date(point.at).getTime()),
    series: states.map((status) => ({ name: words(status), tone: `status-${status}`, values: known[from].map((point) => point[from][provider]?.[status] ?? 0) })),
    note: kind === "bars" ? `each bar is ${duration(stepS)}` : "",
  });
  const had = names.filter((name) => points.some((point) => [...Object.values(point.states?.[name] ?? {}), ...Object.values(point.settled?.[name] ?? {})].some(Boolean)));
  if (!had.length) return fill(place, h("p", { class: "empty" }, "No payouts in this time. This node keeps three hours, in memory."));
  // While somebody reads a plot it stays as it is.
  if (place.contains(document.activeElement) || place.matches(":has(svg:hover)")) return place;
  return fill(place, had.flatMap((name) => [
    figure(name, IN_FLIGHT, "areas", "states", `${name} in flight`),
    figure(name, SETTLED, "bars", "settled", `${name} settled`),
  ]));
}

function sum(rows) {
  return rows.reduce((all, row) => all + (row.count ?? 0), 0);
}

function amounts(rows) {
  const byCurrency = new Map();
  for (const row of rows) byCurrency.set(row.currency, (byCurrency.get(row.currency) ?? 0) + (row.amount ?? 0));
  return [...byCurrency].map(([currency, amount]) => money(amount, currency)).join(" + ") || "none";
}

function oldest(rows) {
  return rows.map((row) => row.oldest_at).filter(Boolean).sort()[0];
}
