// The providers: may they be sent to, how are they doing, and the levers for each.

import { get } from "./api.js";
import { about } from "./commands.js";
import { fill, h, patch } from "./dom.js";
import { age, count, duration, person, share } from "./format.js";
import { whileSilent } from "./live.js";
import { badge, card, facts, json, providerLink, time } from "./pieces.js";
import { go, to } from "./router.js";
import { mayWrite } from "./session.js";
import { commandButton } from "./steer.js";

const PATH = "/v1/admin/providers";
/** Which of a provider's overrides a command's field speaks of. */
const OVERRIDES = { base_s: "backoff_base_s", cap_s: "backoff_cap_s", requests_per_s: "requests_per_s", concurrency_max: "concurrency_max" };

export const providers = { title: "Providers", open };

async function open({ args: [name] }) {
  return name ? one(name) : all();
}

async function all() {
  const place = h("div", { class: "cards" });
  // Those that are switched off come last.
  const order = (rows) => [...rows].sort((one, other) => Number(other.enabled !== false) - Number(one.enabled !== false));
  const show = (rows) => patch(place, order(rows).map((row) => summary(row, load)));
  const load = async () => show((await get(PATH)).providers);
  await load();
  const timer = whileSilent(load);
  return { node: place, snapshot: (data) => data.providers && show(data.providers), close: () => clearInterval(timer) };
}

async function one(name) {
  const path = `${PATH}/${encodeURIComponent(name)}`;
  const place = h("div", {});
  const rest = h("div", { class: "stack" });
  const shown = await get(path);
  const show = (row) => patch(place, summary(row, load));
  const load = async () => show(await get(path));
  show(shown);
  const timer = whileSilent(load);
  fill(rest, card("Account", {}, facts([["Account", shown.account], ["Profile", shown.profile]])), card("What it promises", {}, json(shown.capabilities)));
  return {
    node: h("div", { class: "stack" }, h("p", {}, h("a", { href: to("providers") }, "All providers")), place, rest),
    snapshot(data) {
      const row = data.providers?.find((other) => other.name === name);
      if (row) show(row);
    },
    close: () => clearInterval(timer),
  };
}

function summary(row, done) {
  const calls = (row.calls?.answered ?? 0) + (row.calls?.failed ?? 0);
  return h("section", { class: "card provider", "data-key": row.name, "aria-label": row.name },
    h("header", {}, h("h2", {}, providerLink(row.name)), states(row)),
    notes(row),
    h("div", { class: "measures" },
      measure("Answered", share(row.calls?.success_rate), calls ? `${count(row.calls.answered)} of ${count(calls)} in 5 min` : "no calls in 5 min", row.calls?.success_rate),
      measure("Latency", duration(row.calls?.p50_s), calls ? `95 % within ${duration(row.calls.p95_s)}` : ""),
      measure("Calls now", `${count(row.in_flight)} / ${count(row.concurrency_max)}`, row.requests_per_s ? `at most ${row.requests_per_s} a second` : "no pace set", row.concurrency_max ? row.in_flight / row.concurrency_max : null, false),
      measure("Waiting", count(row.waiting), row.oldest_due_at ? `oldest ${age(row.oldest_due_at)}` : `${count(row.waiting_submits)} to send, ${count(row.waiting_questions)} to ask`)),
    facts([
      ["Backoff", `${duration(row.backoff_base_s)} up to ${duration(row.backoff_cap_s)}`],
      ["Set by hand", row.overridden?.length ? row.overridden.join(", ") : null],
      ["Silent until", row.held_until && time(row.held_until, { relative: true })],
      ["Breaker since", row.breaker_since && time(row.breaker_since, { relative: true })],
    ]),
    h("div", { class: "controls", role: "group", "aria-label": `Commands to ${row.name}` }, (row.valid_commands ?? []).map((command) => control(row, command, done))));
}

function states(row) {
  return h("div", { class: "badges" },
    row.enabled === false ? badge("disabled", { tone: "calm" }) : row.ready === false ? badge("not ready", { tone: "bad" }) : row.paused ? badge("paused", { tone: "bad" }) : badge("open for payouts", { tone: "good" }),
    row.retries_paused ? badge("retries paused", { tone: "wary" }) : null,
    badge(row.breaker, { text: `breaker ${row.breaker?.replace("_", " ")}${row.breaker_forced ? ", by hand" : ""}` }));
}

function notes(row) {
  const said = [
    row.paused && `Paused${row.paused_by ? ` by ${person(row.paused_by)}` : ""}${row.paused_at ? ` ${age(row.paused_at)} ago` : ""}: ${row.paused_reason || "no reason given"}.${row.resumes_by_itself ? " It resumes by itself." : ""}`,
    row.retries_paused && `Retries are paused: ${row.retries_paused_reason || "no reason given"}.`,
    row.shortfall && "We hold too little there: somebody has to pay in.",
  ].filter(Boolean);
  const missing = row.ready === false ? (row.missing ?? []) : [];
  return [
    said.length ? h("ul", { class: "notes-of" }, said.map((text) => h("li", {}, text))) : null,
    missing.length ? h("details", { class: "lacks" }, h("summary", {}, `Lacks ${missing.length} ${missing.length === 1 ? "setting" : "settings"}`), missing.join(", ")) : null,
  ];
}

/** A figure with a bar for its share, where it is one. */
function measure(name, figure, says, part = null, good = true) {
  const known = part !== null && part !== undefined && Number.isFinite(part);
  const tone = good ? (part >= 0.95 ? "good" : part >= 0.8 ? "wary" : "bad") : "busy";
  return h("div", { class: "measure", "data-key": name }, h("span", { class: "name" }, name), h("b", {}, figure),
    known ? h("meter", { class: tone, min: 0, max: 1, value: Math.min(1, part), "aria-hidden": "true" }) : null,
    h("span", { class: "says" }, says));
}

function control(row, command, done) {
  if (command === "retry_failed") {
    const { label, does } = about(command);
    return h("button", { type: "button", "data-key": command, title: does, disabled: !mayWrite(), onclick: () => go("bulk", [], { lever: `providers/${row.name}` }) }, `${label} …`);
  }
  return commandButton(`providers/${row.name}`, command, { initial: () => overridesOf(row), done });
}

/** What was set by hand, so that setting one number does not undo another. */
function overridesOf(row) {
  return Object.fromEntries(Object.entries(OVERRIDES).filter(([, column]) => row.overridden?.includes(column)).map(([field, column]) => [field, row[column]]));
}
