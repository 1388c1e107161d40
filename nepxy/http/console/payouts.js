// All payouts, narrowed by what is asked for; the address holds the filters, so that a list can be sent to a colleague.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { ago, exact, money } from "./format.js";
import { badge, button, card, field, options, payoutLink, providerLink, refusal, table } from "./pieces.js";
import { requery, to } from "./router.js";
import { session } from "./session.js";

export const PAYOUTS = "/v1/admin/mobile-money/payouts";
const MONTH_MS = 30 * 86_400_000;
export const STATUSES = ["PENDING", "SENT", "REVIEW", "CONFIRMED", "FAILED", "CANCELLED"];

export const payouts = { title: "Payouts", open };

async function open({ query }) {
  const list = h("div", {});
  const form = filterForm(query, (filters) => {
    requery(filters);
    load(filters);
  });

  async function load(filters, cursor = null, before = []) {
    try {
      const page = await findPayouts({ limit: 50, ...filters, cursor });
      const all = [...before, ...page.payouts];
      // A cursor is good for the very filters that it was given for.
      const same = page.since ? { ...filters, created_from: page.since } : filters;
      fill(list, sinceNote(page), payoutTable("Payouts", all, { empty: "No payout is like that." }),
        page.next_cursor ? button("Show more", () => load(same, page.next_cursor, all)) : null);
    } catch (problem) {
      fill(list, refusal(problem, () => load(filters, cursor, before)));
    }
  }
  await load(query);
  return { node: h("div", { class: "stack" }, card("Filter", {}, form), card("List", {}, list)) };
}

/**
 * A page of payouts. Where the API wants a range of time to look through what is settled, it is the last month;
 * `since` of the answer says so.
 */
export async function findPayouts(query) {
  try {
    return await get(PAYOUTS, query);
  } catch (problem) {
    if (query.created_from || !problem.fields?.some((field) => field.name === "created_from")) throw problem;
    const since = new Date(Date.now() - MONTH_MS).toISOString();
    return { ...(await get(PAYOUTS, { ...query, created_from: since })), since };
  }
}

/** Within which time was looked, where nobody asked for one. */
export function sinceNote(page) {
  return page.since ? h("p", { class: "faint" }, "Of the last 30 days. Older ones: set a time, or look for a reference, a whole number or a client.") : null;
}

export function payoutTable(label, rows, { empty = "None." } = {}) {
  return table(label, [
    { title: "Payout", cell: (one) => payoutLink(one.transaction_id) },
    { title: "State", cell: (one) => [badge(one.status), one.in_doubt_since ? badge("in doubt", { tone: "wary" }) : null] },
    { title: "Provider", cell: (one) => providerLink(one.provider) },
    { title: "Amount", number: true, cell: (one) => money(one.amount, one.currency) },
    { title: "Phone", cell: (one) => one.phone_masked ?? "–" },
    { title: "Client's reference", kind: "ref", cell: (one) => one.external_ref ?? "–" },
    { title: "Tries", number: true, cell: (one) => one.attempt_count ?? 0 },
    { title: "Made", cell: (one) => h("time", { datetime: one.created_at, title: exact(one.created_at) }, ago(one.created_at)) },
    { title: "Why", kind: "why", cell: (one) => one.last_error || one.status_reason || "" },
  ], rows, { empty, key: (one) => one.transaction_id });
}

/** The filters of a list, and of a lever. `use` gets those that say something. */
export function filterForm(initial, use, label = "Show") {
  const statuses = new Set((initial.status ?? "").split(",").filter(Boolean));
  const status = STATUSES.map((name) => h("label", { class: "tick" }, h("input", { type: "checkbox", name: "status", value: name, checked: statuses.has(name) }), badge(name)));
  const inputs = {
    provider: h("select", { value: initial.provider ?? "" }, options(session.providers, "any")),
    client_id: h("input", { value: initial.client_id ?? "", autocomplete: "off" }),
    stuck_s: h("input", { type: "number", min: 0, value: initial.stuck_s ?? "" }),
    age_s: h("input", { type: "number", min: 0, value: initial.age_s ?? "" }),
    error: h("input", { value: initial.error ?? "", autocomplete: "off" }),
    amount_min: h("input", { type: "number", min: 0, step: 1, value: initial.amount_min ?? "" }),
    amount_max: h("input", { type: "number", min: 0, step: 1, value: initial.amount_max ?? "" }),
    reference: h("input", { value: initial.reference ?? "", autocomplete: "off", spellcheck: "false" }),
    created_from: h("input", { placeholder: "2026-11-28T08:00:00Z", value: initial.created_from ?? "", autocomplete: "off" }),
    created_to: h("input", { placeholder: "2026-11-28T09:00:00Z", value: initial.created_to ?? "", autocomplete: "off" }),
  };
  const ticks = {
    in_doubt: h("input", { type: "checkbox", checked: initial.in_doubt === "true" }),
    retryable: h("input", { type: "checkbox", checked: initial.retryable === "true" }),
  };
  function read() {
    const chosen = status.map((one) => one.firstChild).filter((box) => box.checked).map((box) => box.value);
    const filters = { status: chosen.join(",") };
    for (const [name, input] of Object.entries(inputs)) filters[name] = input.value.trim();
    for (const [name, box] of Object.entries(ticks)) filters[name] = box.checked ? "true" : "";
    return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== ""));
  }
  const rare = ["client_id", "age_s", "amount_min", "amount_max", "created_from", "created_to"];
  return h("form", { class: "filters", onsubmit: (event) => { event.preventDefault(); use(read()); } },
    h("fieldset", { class: "ticks" }, h("legend", {}, "State"), status,
      h("label", { class: "tick" }, ticks.in_doubt, badge("in doubt", { tone: "wary" })), h("label", { class: "tick" }, ticks.retryable, "retryable")),
    h("div", { class: "fields" },
      field("Provider", inputs.provider), field("Unchanged for (s)", inputs.stuck_s), field("Error says", inputs.error), field("Reference or id", inputs.reference)),
    h("details", { open: rare.some((name) => initial[name]) }, h("summary", {}, "More filters"), h("div", { class: "fields" },
      field("Client", inputs.client_id), field("Made at least (s) ago", inputs.age_s),
      field("Amount from", inputs.amount_min, "minor units"), field("Amount to", inputs.amount_max, "minor units"),
      field("Made from", inputs.created_from, "UTC"), field("Made until", inputs.created_to, "UTC"))),
    h("div", { class: "row-of" }, h("button", { type: "submit", class: "primary" }, label), h("a", { class: "button quiet", href: to("payouts") }, "Clear")));
}
