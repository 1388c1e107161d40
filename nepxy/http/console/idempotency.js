// What a client's idempotency key stands for, and in what another body differs from it.

import { get, post } from "./api.js";
import { fill, h } from "./dom.js";
import { badge, card, facts, field, json, payoutLink, refusal, table, time } from "./pieces.js";

const PATH = "/v1/admin/idempotency";

export const idempotency = { title: "Idempotency", open };

async function open({ query }) {
  const found = h("div", {});
  const compared = h("div", {});
  const key = h("input", { required: true, value: query.key ?? "", autocomplete: "off", spellcheck: "false", maxlength: 255 });
  const client = h("input", { value: query.client_id ?? "", autocomplete: "off", spellcheck: "false" });
  const body = h("textarea", { rows: 6, spellcheck: "false", required: true, placeholder: '{"amount": 1000, "currency": "XOF", …}' });

  async function find() {
    try {
      const { keys } = await get(PATH, { key: key.value.trim(), client_id: client.value.trim() });
      fill(found, keys.length ? keys.map(stored) : h("p", { class: "empty" }, "Nobody has used this key."));
      if (keys.length === 1) client.value = keys[0].client_id;
    } catch (problem) {
      fill(found, refusal(problem, find));
    }
  }
  async function compare() {
    try {
      const answer = await post(`${PATH}/compare`, { client_id: client.value.trim(), key: key.value.trim(), body: JSON.parse(body.value) });
      fill(compared, differences(answer));
    } catch (problem) {
      fill(compared, refusal(problem instanceof SyntaxError ? { message: "The body is not JSON.", hint: "Paste the client's body as it was sent.", code: "JSON_INVALID" } : problem));
    }
  }
  const submitted = (run) => (event) => { event.preventDefault(); run(); };
  if (query.key) await find();
  return {
    node: h("div", { class: "stack" },
      card("Look a key up", {}, h("form", { class: "inline", onsubmit: submitted(find) }, field("Idempotency-Key", key), field("Client", client, "needed to compare"), h("button", { type: "submit" }, "Look")), found),
      card("Compare with what was sent", {}, h("form", { onsubmit: submitted(compare) }, field("The client's body", body, "Never stored: only compared. The key and the client are those above."), h("button", { type: "submit" }, "Compare")), compared)),
  };
}

function stored(one) {
  return h("div", { class: "stored" },
    facts([["Client", one.client_id], ["Payout", payoutLink(one.transaction_id)], ["Used", time(one.created_at)], ["Answered", one.response_status]]),
    h("div", { class: "halves" }, h("div", {}, h("h3", {}, "Request"), json(one.request)), h("div", {}, h("h3", {}, "Stored response"), json(one.response))));
}

function differences(answer) {
  if (answer.same) return h("p", {}, badge("ok", { text: "the same" }), " This body gets the stored response again.");
  return table("Differences", [
    { title: "Field", cell: (one) => h("code", {}, one.field) },
    { title: "Stored", kind: "ref", cell: (one) => shown(one.stored) },
    { title: "Sent", kind: "ref", cell: (one) => shown(one.sent) },
  ], answer.differences);
}

function shown(value) {
  if (value === null || value === undefined) return h("span", { class: "faint" }, "not there");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
