// Levers that touch many: chosen by filters, tried dry first, capped, ramped, and stopped where they go wrong.

import { get, newKey, post } from "./api.js";
import { about } from "./commands.js";
import { fill, h, patch } from "./dom.js";
import { count, duration, money, person, words } from "./format.js";
import { badge, button, card, facts, field, options, payoutLink, refusal, table, time } from "./pieces.js";
import { filterForm, payoutTable } from "./payouts.js";
import { go, to } from "./router.js";
import { mayWrite } from "./session.js";
import { confirmed } from "./steer.js";

const PATH = "/v1/admin/bulk";
const AGAIN_MS = 2_000;

export const bulk = { title: "Bulk levers", open };

async function open({ args: [id], query }) {
  return id ? run(id) : all(query);
}

async function all(query) {
  const runs = h("div", {});
  const tried = h("div", {});
  async function load() {
    try {
      patch(runs, runTable((await get(PATH)).runs));
    } catch (problem) {
      fill(runs, refusal(problem, load));
    }
  }
  await load();
  const timer = setInterval(load, AGAIN_MS);
  return {
    node: h("div", { class: "stack" }, query.lever ? failedLever(query.lever, tried, load) : lever(query, tried, load), tried, card("Runs", {}, runs)),
    close: () => clearInterval(timer),
  };
}

function limits() {
  const inputs = {
    count_max: h("input", { type: "number", min: 1, step: 1, value: 1000, required: true }),
    amount_max: h("input", { type: "number", min: 1, step: 1 }),
    per_minute: h("input", { type: "number", min: 1, step: 1, value: 60, required: true }),
    expires_in_s: h("input", { type: "number", min: 60, step: 1, value: 3600, required: true }),
  };
  return {
    node: h("div", { class: "fields" }, field("At most so many", inputs.count_max), field("At most so much", inputs.amount_max, "minor units; empty: no limit"),
      field("So many a minute", inputs.per_minute), field("Give up after (s)", inputs.expires_in_s)),
    read: () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value === "" ? null : Number(input.value)])),
  };
}

/** A lever over a list's filters. */
function lever(query, tried, load) {
  const command = h("select", {}, options(["retry", "poll", "release", "cancel"].map((name) => [name, about(name).label])));
  const force = h("input", { type: "checkbox" });
  const capped = limits();
  const dry = (selector) => attempt(tried, load, {
    label: `${about(command.value).label}: many`, path: PATH,
    body: { command: command.value, selector: typed(selector), force: force.checked, ...capped.read() },
  });
  return card("New lever", {}, h("div", { class: "fields" }, field("Command", command), field("Final ones, too (force)", force)), capped.node, h("h3", {}, "Which payouts"), filterForm(query, dry, "Dry run"));
}

/** A provider's own lever: what failed in a time, tried again. */
function failedLever(target, tried, load) {
  const [, name] = target.split("/");
  const inputs = {
    since: h("input", { placeholder: "2026-11-28T08:00:00Z", autocomplete: "off", required: true }),
    until: h("input", { placeholder: "now", autocomplete: "off" }),
    error: h("input", { autocomplete: "off" }),
  };
  const capped = limits();
  const dry = (event) => {
    event.preventDefault();
    const given = Object.fromEntries(Object.entries(inputs).map(([field, input]) => [field, input.value.trim()]).filter(([, value]) => value));
    return attempt(tried, load, { label: `Retry what failed at ${name}`, path: `/v1/admin/providers/${encodeURIComponent(name)}/retry_failed`, body: { ...given, ...capped.read() } });
  };
  return card(`Retry what failed at ${name}`, {}, h("form", { onsubmit: dry },
    h("div", { class: "fields" }, field("Since", inputs.since, "UTC"), field("Until", inputs.until, "UTC"), field("Error says", inputs.error)),
    capped.node, h("div", { class: "row-of" }, h("button", { type: "submit", class: "primary", disabled: !mayWrite() }, "Dry run"), h("a", { class: "button quiet", href: to("bulk") }, "Another lever"))));
}

/** The dry run; what it would do is shown, and only then may it be done. */
async function attempt(tried, load, { label, path, body }) {
  fill(tried, h("p", { role: "status" }, "Counting …"));
  try {
    const answer = await post(path, { ...body, dry_run: true, reason: "dry run" });
    const key = newKey();
    const pull = () => confirmed({
      title: label, danger: true, label: `Do it to ${count(answer.count)}`,
      does: `${count(answer.count)} payouts, ${amounts(answer.amounts)}, ${count(answer.per_minute ?? body.per_minute)} a minute. It can be stopped on the way.`,
      send: (given) => post(path, { ...body, ...given, dry_run: false, command_id: key }),
    }).then((done) => {
      if (!done) return;
      fill(tried);
      load();
      if (done.run) go("bulk", [done.run.run_id]);
    });
    fill(tried, card("Dry run", {},
      h("p", { class: "what" }, `${count(answer.count)} payouts, ${amounts(answer.amounts)}. It would take ${duration(answer.would_take_s)}. Nothing has been done.`),
      payoutTable("The first of them", answer.sample ?? [], { empty: "No payout is like that." }),
      h("div", { class: "controls" }, button(`${label} …`, pull, { kind: "primary danger", disabled: !answer.count || !mayWrite() }))));
    tried.querySelector(".controls button").focus();
  } catch (problem) {
    fill(tried, refusal(problem));
  }
}

/** Filters of an address are texts; the selector's are what they are. */
function typed(selector) {
  const numbers = ["stuck_s", "age_s", "amount_min", "amount_max"];
  const flags = ["in_doubt", "retryable"];
  return Object.fromEntries(Object.entries(selector).map(([name, value]) => [name, numbers.includes(name) ? Number(value) : flags.includes(name) ? value === "true" : value]));
}

function runTable(runs) {
  return table("Runs", [
    { title: "Began", cell: (one) => h("a", { href: to("bulk", [one.run_id]) }, time(one.started_at)) },
    { title: "Command", cell: (one) => about(one.command).label },
    { title: "State", cell: (one) => badge(one.state) },
    { title: "Done", cell: (one) => progress(one) },
    { title: "Left", number: true, cell: (one) => (one.state === "RUNNING" ? duration(one.eta_s) : "–") },
    { title: "By", cell: (one) => [person(one.who), one.approved_by ? ` with ${person(one.approved_by)}` : ""] },
    { title: "Why", kind: "why", cell: (one) => one.reason },
  ], runs, { empty: "No lever has been pulled.", key: (one) => one.run_id });
}

function progress(one) {
  return h("span", { class: "progress" }, h("progress", { max: one.count || 1, value: one.done, "aria-label": "done" }), ` ${count(one.done)} of ${count(one.count)}`);
}

async function run(id) {
  const path = `${PATH}/${encodeURIComponent(id)}`;
  const place = h("div", { class: "stack" });
  let state = "RUNNING";
  async function load() {
    const one = await get(path);
    state = one.state;
    patch(place, card("Run", {}, facts([
      ["Command", about(one.command).label], ["State", badge(one.state)], ["Done", progress(one)], ["Left", one.state === "RUNNING" ? duration(one.eta_s) : null],
      ["Amount", amounts(one.amounts)], ["Outcomes", Object.entries(one.outcomes ?? {}).map(([code, number]) => `${words(code)}: ${count(number)}`).join(", ")],
      ["By", person(one.who)], ["With", one.approved_by && person(one.approved_by)], ["Why", one.reason], ["Began", time(one.started_at)], ["Ended", one.ended_at && time(one.ended_at)], ["Gives up", one.expires_at && time(one.expires_at)], ["Which", JSON.stringify(one.selector)],
    ]), one.state === "RUNNING" ? h("div", { class: "controls" }, button("Stop …", () => stop(path, load), { kind: "danger", disabled: !mayWrite() })) : null),
    card("Items", {}, table("Items", [
      { title: "#", number: true, cell: (item) => item.n },
      { title: "Payout", cell: (item) => payoutLink(item.transaction_id) },
      { title: "Amount", number: true, cell: (item) => money(item.amount, item.currency) },
      { title: "Done", cell: (item) => time(item.done_at) },
      { title: "Outcome", cell: (item) => (item.outcome ? words(item.outcome) : "waits") },
    ], one.items ?? [], { key: (item) => item.n })));
  }
  await load();
  const timer = setInterval(() => state === "RUNNING" && load().catch(() => {}), AGAIN_MS);
  return { node: h("div", { class: "stack" }, h("p", {}, h("a", { href: to("bulk") }, "All runs")), place), close: () => clearInterval(timer) };
}

async function stop(path, load) {
  const answer = await confirmed({ title: "Stop this run", does: "What is done stays done; the rest is left alone.", label: "Stop", danger: true, send: (given) => post(`${path}/stop`, given) });
  if (answer) await load();
}

function amounts(all) {
  return (all ?? []).map((one) => money(one.amount, one.currency)).join(" + ") || "no money";
}
