// This node's engine and its database: what is held and open, connections, slow statements; and the levers for them.

import { get } from "./api.js";
import { fill, h, patch } from "./dom.js";
import { count, duration, money, words } from "./format.js";
import { whileSilent } from "./live.js";
import { badge, card, facts, refusal, table, time } from "./pieces.js";
import { commandButton } from "./steer.js";

const AGAIN_MS = 5_000;

export const engine = { title: "Engine", open };

async function open() {
  const state = h("div", {});
  const base = h("div", {});
  const show = (shown) => patch(state, engineFacts(shown), levers(shown, look));
  const look = async () => show(await get("/v1/admin/engine"));
  async function load() {
    try {
      patch(base, databaseFacts(await get("/v1/admin/database")));
    } catch (problem) {
      fill(base, refusal(problem, load));
    }
  }
  await Promise.all([look(), load()]);
  const quiet = whileSilent(look);
  const timer = setInterval(load, AGAIN_MS);
  return {
    node: h("div", { class: "stack" }, card("This node", {}, state), card("Database", {}, base)),
    snapshot: (data) => data.engine && show(data.engine),
    close: () => [timer, quiet].forEach(clearInterval),
  };
}

/** What of all providers' money is in doubt, as the engine counts it every few seconds. */
export function doubtOf(one) {
  const rows = one.doubt ?? [];
  const amounts = new Map();
  for (const row of rows) for (const [currency, amount] of Object.entries(row.amounts ?? {})) amounts.set(currency, (amounts.get(currency) ?? 0) + amount);
  return {
    count: rows.reduce((sum, row) => sum + (row.in_doubt_count ?? 0), 0),
    amounts: [...amounts].map(([currency, amount]) => money(amount, currency)).join(" + ") || "no money",
    oldestS: Math.max(0, ...rows.map((row) => row.oldest_age_s ?? 0)),
  };
}

/** Was the database restored, and has nobody released it yet? */
export function isHeld(one) {
  return Boolean(one.restored) && !one.restored.doubt_until;
}

function engineFacts(one) {
  const doubt = doubtOf(one);
  return facts([
    ["State", badge(one.state, { tone: one.state === "running" ? "good" : "wary" })],
    ["Intake", one.intake_open === undefined ? null : badge(one.intake_open ? "open" : "closed", { tone: one.intake_open ? "good" : "bad", text: one.intake_open ? "open" : `closed: ${one.intake_reason || "no reason given"}` })],
    ["Journal", badge(one.journal_ok ? "commits" : "does not commit", { tone: one.journal_ok ? "good" : "bad" })],
    ["Writes waiting", count(one.journal_depth)],
    ["Payouts in memory", `${count(one.payouts_in_memory)} of ${count(one.payouts_in_memory_max)}`],
    ["Shards held", `${count(one.shards_held)} of 256`], ["Other owner", one.other_owner],
    ["Recovered", `${count(one.recovered_count)}${one.recovery_done ? ", done" : ", going on"}`],
    ["Held", isHeld(one) ? badge("wrong", { text: "nothing is sent since a restore, until somebody releases it" }) : null],
    ["This node alone", one.drains_here ? badge("wary", { tone: "wary", text: "takes no payouts" }) : null],
    ["In flight by another account", (one.sent_elsewhere ?? []).map((row) => `${row.provider}: ${count(row.payouts_count)}`).join(", ")],
    ["In doubt", doubt.count ? `${count(doubt.count)} payouts, ${doubt.amounts}, oldest ${duration(doubt.oldestS)}` : "nothing"],
    ["Node", one.node_id], ["Version", one.version], ["Started", one.started_at && time(one.started_at, { relative: true })],
  ]);
}

function levers(one, done) {
  return h("div", { class: "controls", role: "group", "aria-label": "Commands to the supervisor" }, (one.valid_commands ?? []).map((name) => commandButton("supervisor", name, { done })));
}

function databaseFacts(one) {
  return [
    facts([
      ["Answers", badge(one.ok ? "ok" : "wrong", { text: one.ok ? "yes" : "no" })], ["Server", one.server_version],
      ["Connections", one.connections && `${count(one.connections.ours)} ours, ${count(one.connections.all)} in all, ${count(one.connections.max)} at most`],
      ["Pool", one.pool && `${count(one.pool.in_use)} of ${count(one.pool.size)} in use, ${count(one.pool.waiting)} waiting`],
      ["Journal writers", one.writers && (typeof one.writers === "object" ? count(one.writers.length ?? Object.keys(one.writers).length) : count(one.writers))],
      ["Oldest transaction", one.oldest_transaction_s === undefined ? null : duration(one.oldest_transaction_s)], ["Waiting for locks", count(one.locks_waiting)],
    ]),
    table("Slow statements", [
      { title: "Process", number: true, cell: (row) => row.pid },
      { title: "Application", cell: (row) => row.application },
      { title: "State", cell: (row) => words(row.state) },
      { title: "Runs for", number: true, cell: (row) => duration(row.running_s) },
      { title: "Waits for", cell: (row) => row.waits_for ?? "–" },
      { title: "Statement", kind: "why", cell: (row) => h("code", {}, row.query) },
    ], one.slow ?? [], { empty: "No statement is slow.", key: (row) => row.pid }),
  ];
}
