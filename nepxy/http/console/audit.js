// Who did what, to what, why, and how it ended; the newest first.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { person } from "./format.js";
import { badge, button, card, field, json, payoutLink, refusal, table, time } from "./pieces.js";
import { requery } from "./router.js";

const PATH = "/v1/admin/audit";

export const audit = { title: "Audit log", open };

async function open({ query }) {
  const list = h("div", {});
  const inputs = Object.fromEntries(["who", "target", "command"].map((name) => [name, h("input", { value: query[name] ?? "", autocomplete: "off", spellcheck: "false" })]));
  const form = h("form", { class: "inline", onsubmit: (event) => { event.preventDefault(); requery(asked()); load(); } },
    field("Who", inputs.who), field("Target", inputs.target), field("Command", inputs.command), h("button", { type: "submit" }, "Show"));
  const asked = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));

  async function load(before = null, shown = []) {
    try {
      const page = await get(PATH, { ...asked(), before, limit: 50 });
      const all = [...shown, ...page.entries];
      fill(list, rows(all), page.next_before ? button("Show more", () => load(page.next_before, all)) : null);
    } catch (problem) {
      fill(list, refusal(problem, () => load(before, shown)));
    }
  }
  await load();
  return { node: card("Commands", {}, form, list) };
}

function rows(all) {
  return table("Audit log", [
    { title: "When", cell: (one) => time(one.at) },
    { title: "Who", cell: (one) => [person(one.who), one.approved_by ? h("span", { class: "faint" }, ` with ${person(one.approved_by)}`) : null] },
    { title: "Command", cell: (one) => one.command },
    { title: "Target", cell: (one) => (one.target?.startsWith("payouts/") ? payoutLink(one.target.slice(8)) : one.target) },
    { title: "Why", kind: "why", cell: (one) => one.reason },
    { title: "Outcome", cell: (one) => badge(one.outcome) },
    { title: "Before and after", cell: (one) => h("details", {}, h("summary", {}, "look"), json({ arguments: one.arguments, before: one.before, after: one.after, request_id: one.request_id, command_id: one.command_id })) },
  ], all, { empty: "No command is like that.", key: (one) => one.audit_id });
}
