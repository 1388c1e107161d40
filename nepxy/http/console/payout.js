// One payout: why it is where it is, what happens next, what may be done, and everything that happened to it.

import { get } from "./api.js";
import { fill, h, patch } from "./dom.js";
import { ago, money, person, words } from "./format.js";
import { about } from "./commands.js";
import { badge, card, copyable, facts, providerLink, refusal, table, time } from "./pieces.js";
import { PAYOUTS } from "./payouts.js";
import { to } from "./router.js";
import { commandButton } from "./steer.js";

const AGAIN_MS = 5_000;

export const payout = { title: "Payout", under: "payouts", open };

async function open({ args: [id] }) {
  const parts = { head: h("div", {}), why: h("div", {}), commands: h("div", {}), timeline: h("div", {}), facts: h("div", {}), attempts: h("div", {}), actor: h("div", {}) };
  const path = `${PAYOUTS}/${encodeURIComponent(id)}`;
  let waits = 0;

  async function load() {
    // In an incident one part may fail: the others are shown all the same.
    const [one, explained, events, attempts, webhooks] = await Promise.all([
      get(path), ...["explain", "events", "attempts", "webhooks"].map((part) => get(`${path}/${part}`).catch((problem) => ({ problem }))),
    ]);
    patch(parts.head, head(one));
    patch(parts.facts, allFacts(one));
    patch(parts.why, explained.problem ? refusal(explained.problem) : why(explained));
    patch(parts.commands, explained.problem ? null : commands(id, one, explained, again));
    patch(parts.timeline, [events, webhooks].filter((part) => part.problem).map((part) => refusal(part.problem)),
      timeline(events.events ?? [], webhooks.webhooks ?? [], attempts.attempts ?? []));
    patch(parts.attempts, attempts.problem ? refusal(attempts.problem) : attemptTable(attempts.attempts));
  }
  async function again() {
    await load().catch((problem) => fill(parts.why, refusal(problem, again)));
  }
  await load();
  const timer = setInterval(again, AGAIN_MS);
  return {
    node: h("div", { class: "stack" }, parts.head,
      h("div", { class: "halves" }, card("Why it is here", {}, parts.why), card("What you can do", {}, parts.commands)),
      card("What happened", {}, parts.timeline),
      card("Attempts", {}, parts.attempts),
      card("All of it", {}, parts.facts)),
    changed(data) {
      if (data.transaction_id !== id) return;
      clearTimeout(waits);
      waits = setTimeout(again, 200);
    },
    close() {
      clearInterval(timer);
      clearTimeout(waits);
    },
  };
}

function head(one) {
  return h("div", { class: "payout-head" },
    badge(one.status, { text: one.status }), one.in_doubt_since ? badge("in doubt", { tone: "wary" }) : null,
    h("b", { class: "amount" }, money(one.amount, one.currency)), h("span", {}, "to ", one.phone_masked), h("span", {}, "by ", providerLink(one.provider)),
    copyable(one.transaction_id));
}

function why(explained) {
  return [
    h("p", { class: "what" }, explained.why),
    explained.next ? h("p", {}, h("b", {}, "Next: "), explained.next.what, explained.next.at ? [" (", time(explained.next.at, { relative: true }), ")"] : null) : null,
    explained.blockers?.length ? h("ul", { class: "blockers" }, explained.blockers.map((one) => h("li", {}, one))) : null,
    explained.evidence?.length ? h("details", {}, h("summary", {}, `Evidence (${explained.evidence.length})`),
      h("ul", { class: "evidence" }, explained.evidence.map((one) => h("li", {}, time(one.at), " ", h("b", {}, one.source), " ", one.says, one.reference ? h("code", {}, one.reference) : null)))) : null,
  ];
}

/** Only what is safe now, in the words of the explanation. */
function commands(id, one, explained, again) {
  const safe = explained.commands ?? [];
  if (!safe.length) return h("p", { class: "empty" }, "Nothing needs to be done, and nothing can be.");
  return h("ul", { class: "offers" }, safe.map((offer) => h("li", { class: "row", "data-key": offer.command },
    commandButton(`payouts/${id}`, offer.command, { fixed: () => ({ expected_version: one.version }), needs: offer.needs, done: again }),
    h("span", {}, offer.does || about(offer.command).does,
      offer.needs?.includes("second_person") ? h("em", {}, " Needs a second person.") : null,
      offer.needs?.includes("force") ? h("em", {}, " Needs force.") : null))));
}

/** Events, webhooks and attempts in one order of time, the newest first. */
function timeline(events, webhooks, attempts) {
  const items = [
    ...events.map((one) => ({ at: one.at, key: `event ${one.version}`, node: () => eventItem(one) })),
    ...webhooks.map((one) => ({ at: one.received_at, key: `webhook ${one.webhook_id}`, node: () => webhookItem(one) })),
    ...attempts.map((one) => ({ at: one.created_at, key: `attempt ${one.submission_ref}`, node: () => attemptItem(one) })),
  ].sort((one, other) => String(other.at).localeCompare(String(one.at)));
  return h("ol", { class: "timeline" }, items.map((item) => h("li", { "data-key": item.key }, time(item.at), h("div", {}, item.node()))));
}

function eventItem(one) {
  const moved = one.from_status !== one.to_status;
  return [
    h("p", {}, moved && one.from_status ? [badge(one.from_status), " → "] : null, badge(one.to_status), " ", h("b", {}, one.why), h("span", { class: "faint" }, ` by ${person(one.who)} · version ${one.version}`)),
    evidenceOf(one.evidence ?? {}),
  ];
}

/** What was asked and answered first; by which rule, and all else, beneath it. */
function evidenceOf({ source, call, answer, ...rest }) {
  const others = Object.entries(rest).filter(([, value]) => value !== null && value !== "").map(([name, value]) => `${words(name)}: ${typeof value === "object" ? JSON.stringify(value) : value}`);
  return h("div", { class: "evidence" },
    call || answer ? h("p", {}, h("code", {}, [call, answer].filter(Boolean).join(" → "))) : null,
    others.length ? h("p", {}, others.join(" · ")) : null);
}

function webhookItem(one) {
  return h("p", {}, badge("webhook", { tone: one.signature_valid ? "busy" : "bad" }), " ", one.signature_valid ? "signed" : "not validly signed", ` by ${one.provider}: `,
    h("b", {}, one.status_word || "no status"), ` · ${words(one.state)}${one.reason ? ` (${one.reason})` : ""} `, h("a", { href: to("webhooks", [one.webhook_id]) }, "look at it"));
}

function attemptItem(one) {
  return h("p", {}, badge("attempt", { tone: "calm" }), ` generation ${one.generation} at ${one.provider}, reference `, h("code", {}, one.submission_ref));
}

function attemptTable(attempts) {
  return table("Attempts", [
    { title: "Reference", kind: "ref", cell: (one) => h("code", {}, one.submission_ref) },
    { title: "Generation", number: true, cell: (one) => one.generation },
    { title: "Sent", number: true, cell: (one) => one.submit_count },
    { title: "Phase", cell: (one) => one.phase },
    { title: "Provider's reference", kind: "ref", cell: (one) => one.provider_ref ?? "–" },
    { title: "Answer by", cell: (one) => time(one.answer_by) },
    { title: "In doubt since", cell: (one) => time(one.in_doubt_since) },
    { title: "Closed", cell: (one) => one.closed_reason ?? "–" },
  ], attempts, { empty: "Nothing has been sent.", key: (one) => one.submission_ref });
}

function allFacts(one) {
  return facts([
    ["Why", one.status_reason], ["Last error", one.last_error], ["Client", one.client_id], ["Client's reference", one.external_ref], ["Idempotency key", one.idempotency_key],
    ["Route", one.route_reason], ["Country", one.country], ["Account", one.account], ["Our reference", one.submission_ref], ["Provider's reference", one.provider_ref],
    ["Attempts", one.attempt_count], ["Retryable", one.retryable === undefined ? null : one.retryable ? "yes" : "no"], ["Next retry", one.next_retry_at && [time(one.next_retry_at), ` (${ago(one.next_retry_at)})`]],
    ["Answer by", one.answer_by && time(one.answer_by)], ["In doubt since", one.in_doubt_since && time(one.in_doubt_since)], ["Expires", one.expires_at && time(one.expires_at)],
    ["Made", one.created_at && time(one.created_at)], ["Settled", one.settled_at && time(one.settled_at)], ["Updated", one.updated_at && time(one.updated_at)], ["Version", one.version],
  ]);
}
