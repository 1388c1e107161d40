// Contradictions between what we hold and what a provider says; a person closes them.

import { get, post } from "./api.js";
import { fill, h } from "./dom.js";
import { person, words } from "./format.js";
import { button, card, options, payoutLink, providerLink, refusal, table, time } from "./pieces.js";
import { mayWrite, session } from "./session.js";
import { confirmed } from "./steer.js";

const PATH = "/v1/admin/discrepancies";

export const discrepancies = { title: "Discrepancies", open };

async function open({ query }) {
  const list = h("div", {});
  const provider = h("select", { "aria-label": "Provider", onchange: () => load(), value: query.provider ?? "" }, options(session.providers, "every provider"));
  const open = h("select", { "aria-label": "Which", onchange: () => load() }, options([["true", "open"], ["", "open and closed"]]));
  async function more(before, shown) {
    try {
      const page = await get(PATH, { open: open.value, provider: provider.value, before });
      const all = [...shown, ...page.discrepancies];
      fill(list, rows(all, load), page.next_before ? button("Show more", () => more(page.next_before, all)) : null);
    } catch (problem) {
      fill(list, refusal(problem, () => more(before, shown)));
    }
  }
  const load = () => more(null, []);
  await load();
  return { node: card("What contradicts what", {}, h("p", { class: "row-of" }, open, " of ", provider), list) };
}

function rows(all, load) {
  return table("Discrepancies", [
    { title: "Payout", cell: (one) => payoutLink(one.transaction_id) },
    { title: "Provider", cell: (one) => providerLink(one.provider) },
    { title: "What", cell: (one) => words(one.kind) },
    { title: "Detail", kind: "why", cell: (one) => one.detail },
    { title: "Seen", number: true, cell: (one) => `${one.seen_count} ×` },
    { title: "Last", cell: (one) => time(one.last_seen_at, { relative: true }) },
    { title: "Closed", cell: (one) => (one.closed_at ? [time(one.closed_at, { relative: true }), ` by ${person(one.closed_by)}`] : "open") },
    { title: "", kind: "commands", cell: (one) => (one.closed_at ? null : button("Close …", () => close(one, load), { kind: "small", disabled: !mayWrite() })) },
  ], all, { empty: "Nothing contradicts.", key: (one) => one.discrepancy_id });
}

async function close(one, load) {
  const answer = await confirmed({
    title: `Close: ${words(one.kind)}`,
    does: "You have found out which of the two is right, and what is wrong has been put right. It opens again if it is seen again.",
    label: "Close it",
    send: (given) => post(`${PATH}/${encodeURIComponent(one.discrepancy_id)}/close`, given),
  });
  if (answer) load();
}
