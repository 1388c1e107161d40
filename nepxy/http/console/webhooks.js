// Webhooks as they came: signed or not, applied or why not; one of them whole, and giving it to its payout again.

import { get, post } from "./api.js";
import { fill, h } from "./dom.js";
import { words } from "./format.js";
import { badge, button, card, facts, field, json, options, payoutLink, refusal, table, time } from "./pieces.js";
import { requery, to } from "./router.js";
import { mayWrite, session } from "./session.js";
import { confirmed } from "./steer.js";

const PATH = "/v1/admin/webhooks/events";

export const webhooks = { title: "Webhooks", open };

async function open({ args: [id], query }) {
  return id ? one(id) : all(query);
}

async function all(query) {
  const list = h("div", {});
  const inputs = {
    provider: h("select", { value: query.provider ?? "" }, options(session.providers, "any")),
    signature_valid: h("select", { value: query.signature_valid ?? "" }, options([["true", "valid"], ["false", "not valid"]], "any")),
    state: h("select", { value: query.state ?? "" }, options(["APPLIED", "PARKED", "IGNORED", "INVALID"], "any")),
    reference: h("input", { value: query.reference ?? "", autocomplete: "off", spellcheck: "false" }),
  };
  const asked = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
  const form = h("form", { class: "inline", onsubmit: (event) => { event.preventDefault(); requery(asked()); load(); } },
    field("Provider", inputs.provider), field("Signature", inputs.signature_valid), field("State", inputs.state), field("Reference", inputs.reference), h("button", { type: "submit" }, "Show"));
  async function load(cursor = null, shown = []) {
    try {
      const page = await get(PATH, { ...asked(), cursor, limit: 50 });
      const rows = [...shown, ...page.webhooks];
      fill(list, webhookTable(rows), page.next_cursor ? button("Show more", () => load(page.next_cursor, rows)) : null);
    } catch (problem) {
      fill(list, refusal(problem, () => load(cursor, shown)));
    }
  }
  await load();
  return { node: card("What came", {}, form, list) };
}

function webhookTable(rows) {
  return table("Webhooks", [
    { title: "Came", cell: (row) => h("a", { href: to("webhooks", [row.webhook_id]) }, time(row.received_at)) },
    { title: "Provider", cell: (row) => row.provider },
    { title: "Signature", cell: (row) => signature(row) },
    { title: "State", cell: (row) => words(row.state) },
    { title: "Why", kind: "why", cell: (row) => row.reason ?? "" },
    { title: "Says", cell: (row) => row.status_word ?? "–" },
    { title: "Payout", cell: (row) => payoutLink(row.transaction_id) },
    { title: "Provider's reference", kind: "ref", cell: (row) => row.provider_ref ?? "–" },
  ], rows, { empty: "No webhook is like that.", key: (row) => row.webhook_id });
}

function signature(row) {
  return badge(row.signature_valid ? "ok" : "wrong", { text: row.signature_valid ? `valid${row.signed_with && row.signed_with !== "current" ? `, ${row.signed_with} secret` : ""}` : "not valid" });
}

async function one(id) {
  const path = `${PATH}/${encodeURIComponent(id)}`;
  const row = await get(path);
  const replay = () => confirmed({
    title: "Replay this webhook",
    does: "It is given to its payout again, and the same rules decide: nothing is settled that they would not settle.",
    label: "Replay",
    send: (given) => post(`${path}/replay`, given),
  });
  return {
    node: h("div", { class: "stack" },
      h("p", {}, h("a", { href: to("webhooks") }, "All webhooks")),
      card("Webhook", {}, facts([
        ["Came", time(row.received_at)], ["Provider", row.provider], ["Signature", signature(row)], ["State", words(row.state)], ["Why", row.reason], ["Says", row.status_word],
        ["Payout", row.transaction_id && payoutLink(row.transaction_id)], ["Provider's reference", row.provider_ref], ["Our reference", row.our_ref], ["Applied", row.applied_at && time(row.applied_at)], ["Request", row.request_id],
      ]), h("div", { class: "controls" }, button("Replay …", replay, { disabled: !mayWrite() }))),
      card("Headers", {}, json(row.headers)), card("Body", {}, json(row.body))),
  };
}
