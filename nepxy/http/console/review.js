// What waits for a person, and what is stuck: why, for how long, and what is safe to do.

import { get } from "./api.js";
import { h, patch } from "./dom.js";
import { age, count, duration, money } from "./format.js";
import { badge, card, payoutLink, providerLink, refusal, table } from "./pieces.js";
import { PAYOUTS } from "./payouts.js";
import { here, requery } from "./router.js";
import { commandButton } from "./steer.js";

const STUCK_S = [[60, "1 minute"], [300, "5 minutes"], [900, "15 minutes"], [3600, "1 hour"], [86400, "1 day"]];
const AGAIN_MS = 5_000;
const SHOWN_COMMANDS = ["poll", "retry", "release"];

export const review = { title: "Review queue", open };

async function open({ query }) {
  const figures = h("div", {});
  const waiting = h("div", {});
  const stuck = h("div", {});
  let stuckS = Number(query.stuck_s) || 300;
  const spans = STUCK_S.some(([seconds]) => seconds === stuckS) ? STUCK_S : [[stuckS, duration(stuckS)], ...STUCK_S];
  const choice = h("select", { "aria-label": "Unchanged for", onchange: () => { stuckS = Number(choice.value); requery({ stuck_s: stuckS }); load(); } },
    spans.map(([seconds, text]) => h("option", { value: seconds, selected: seconds === stuckS }, text)));

  async function load() {
    const part = (path, query) => get(PAYOUTS + path, { ...query, limit: 100 }).catch((problem) => ({ problem, payouts: [] }));
    const [queue, list] = await Promise.all([part("/review", {}), part("", { stuck_s: stuckS })]);
    const known = new Set(queue.payouts.map((one) => one.transaction_id));
    patch(figures, sums(queue.figures ?? []));
    patch(waiting, queue.problem ? refusal(queue.problem, load)
      : [rows("Payouts in review or in doubt", queue.payouts, load, "Nobody waits for a person, and no payout is in doubt."), more(queue)]);
    patch(stuck, list.problem ? refusal(list.problem, load)
      : [rows("Stuck payouts", list.payouts.filter((one) => !known.has(one.transaction_id)), load, `No other payout is in flight and unchanged for ${duration(stuckS)}.`), more(list)]);
  }
  await load();
  const timer = setInterval(load, AGAIN_MS);
  return {
    node: h("div", { class: "stack" },
      card("In review or in doubt", {}, figures, waiting),
      card("Stuck", {}, h("p", { class: "row-of" }, "In flight and unchanged for ", choice), stuck)),
    changed: () => soon(load),
    close: () => { clearInterval(timer); clearTimeout(waits); },
  };
}

let waits = 0;

function soon(load) {
  clearTimeout(waits);
  waits = setTimeout(() => here().name === "review" && load(), 400);
}

function rows(label, payouts, load, empty) {
  return table(label, [
    { title: "Payout", cell: (one) => payoutLink(one.transaction_id) },
    { title: "State", cell: (one) => [badge(one.status), one.in_doubt_since ? badge("in doubt", { tone: "wary" }) : null] },
    { title: "Provider", cell: (one) => providerLink(one.provider) },
    { title: "Amount", number: true, cell: (one) => money(one.amount, one.currency) },
    { title: "Waits", number: true, cell: (one) => (one.waiting_s === undefined ? age(one.in_doubt_since ?? one.updated_at) : duration(one.waiting_s)) },
    { title: "Why", kind: "why", cell: (one) => one.why ?? [one.status_reason, one.last_error].filter(Boolean).join(": ") },
    { title: "", spoken: "Safe commands", kind: "commands", cell: (one) => commands(one, load) },
  ], payouts, { empty, key: (one) => one.transaction_id });
}

/** Those that ask or go on; what settles money is on the payout's own page, beside its evidence. */
function commands(one, load) {
  const safe = new Map((one.commands ?? one.valid_commands ?? []).map((command) => [command.command ?? command, command.needs ?? []]));
  return SHOWN_COMMANDS.filter((name) => safe.has(name)).map((name) =>
    commandButton(`payouts/${one.transaction_id}`, name, { fixed: () => ({ expected_version: one.version }), needs: safe.get(name), done: load, small: true }));
}

function sums(all) {
  return all.length ? h("ul", { class: "sums" }, all.map((one) =>
    h("li", {}, h("b", {}, one.provider), ` ${count(one.count)} · ${money(one.amount, one.currency)} · oldest ${age(one.oldest_at)}`))) : null;
}

function more(page) {
  return page.next_cursor ? h("p", { class: "faint" }, "There are more: the first 100 are shown. ", h("a", { href: "#/payouts?in_doubt=true" }, "List them all")) : null;
}
