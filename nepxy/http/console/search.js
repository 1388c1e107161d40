// Search by phone, reference or id. What was typed stays out of the address: it may be somebody's whole number.

import { h } from "./dom.js";
import { card } from "./pieces.js";
import { findPayouts, payoutTable, sinceNote } from "./payouts.js";
import { go, here, to } from "./router.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const PHONE = /^\+?[\d ().-]{4,20}$/;

let wanted = "";

export function searchFor(text) {
  wanted = text;
  if (UUID.test(text)) go("payout", [text.toLowerCase()]);
  else if (here().name === "search") dispatchEvent(new HashChangeEvent("hashchange"));
  else go("search");
}

export const found = { title: "Search", under: "payouts", open };

async function open() {
  if (!wanted) return { node: card("Search", {}, h("p", { class: "empty" }, "Type a phone number (or its last four digits), a reference or an id into the box above: press / to get there.")) };
  const digits = wanted.replace(/[ ().-]/g, "");
  const [byPhone, byReference] = await Promise.all([
    PHONE.test(wanted) ? findPayouts({ phone: digits, limit: 100 }) : null,
    findPayouts({ reference: wanted, limit: 100 }),
  ]);
  return {
    node: h("div", { class: "stack" },
      byPhone ? card("By phone", {}, sinceNote(byPhone), payoutTable("Payouts by phone", byPhone.payouts, { empty: "No payout went to such a number." })) : null,
      card("By reference", {}, payoutTable("Payouts by reference", byReference.payouts, { empty: "No payout has this reference: ours, the client's or the provider's." })),
      h("p", {}, h("a", { href: to("payouts") }, "Filter the list instead"))),
  };
}
