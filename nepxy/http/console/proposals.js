// Commands that wait for a second person.

import { get, post } from "./api.js";
import { about } from "./commands.js";
import { fill, h } from "./dom.js";
import { person } from "./format.js";
import { badge, button, facts, payoutLink, refusal, time } from "./pieces.js";
import { mayWrite, session } from "./session.js";
import { confirmed } from "./steer.js";

const PATH = "/v1/admin/proposals";

export const proposals = { title: "Proposals", open };

async function open() {
  const list = h("div", { class: "stack" });
  async function load() {
    try {
      const { proposals: all } = await get(PATH);
      fill(list, all.length ? all.map((one) => proposal(one, load)) : h("p", { class: "empty" }, "No command waits for a second person."));
    } catch (problem) {
      fill(list, refusal(problem, load));
    }
  }
  await load();
  return { node: list };
}

function proposal(one, load) {
  const [kind, id] = one.target.split("/");
  const mine = person(one.proposed_by) === session.operatorId;
  const decide = (verb, label, danger) => confirmed({
    title: `${label}: ${about(one.command).label} ${one.target}`,
    does: verb === "approve" ? `The command is done at once, in ${person(one.proposed_by)}'s name and yours. Look at the evidence first.` : "The command is not done.",
    label, danger,
    send: (given) => post(`${PATH}/${encodeURIComponent(one.proposal_id)}/${verb}`, given),
  }).then((answer) => answer && load());
  return h("section", { class: "card row", "aria-label": `${one.command} ${one.target}` },
    h("header", {}, h("h2", {}, about(one.command).label, " ", kind === "payouts" ? payoutLink(id) : one.target), badge(one.state ?? "OPEN")),
    h("blockquote", {}, one.reason),
    facts([
      ["Proposed by", person(one.proposed_by)], ["Proposed", time(one.proposed_at, { relative: true })], ["Expires", one.expires_at && time(one.expires_at, { relative: true })],
      ...Object.entries(one.arguments ?? {}).filter(([, value]) => value !== null && value !== "").map(([name, value]) => [name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value)]),
    ]),
    h("div", { class: "controls" },
      button("Approve …", () => decide("approve", "Approve", true), { kind: "primary", disabled: mine || !mayWrite(), title: mine ? "Another operator must approve what you proposed" : null }),
      button("Reject …", () => decide("reject", "Reject", false), { disabled: !mayWrite() }),
      mine ? h("span", { class: "faint" }, "You proposed it: somebody else must approve.") : null));
}
