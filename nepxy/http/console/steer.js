// Giving a command: confirmation with a reason first, then what was done and what happens next.

import { newKey, post } from "./api.js";
import { about } from "./commands.js";
import { dialog } from "./dialog.js";
import { fill, h } from "./dom.js";
import { short } from "./format.js";
import { button, field, json, refusal } from "./pieces.js";
import { mayWrite } from "./session.js";
import { to } from "./router.js";

/**
 * A button for a command. `target` as the API names it; `fixed()` gives fields that are no question, such as the
 * version looked at; `initial()` what its own fields hold at first; `needs` what an explanation says that it wants;
 * `done` is called after the command was given.
 */
export function commandButton(target, name, { fixed = () => ({}), initial = () => ({}), needs = null, done = () => {}, small = false } = {}) {
  const { label, danger } = about(name);
  const kind = [danger ? "danger" : "", small ? "small" : ""].join(" ").trim();
  return button(label, () => give(target, name, { fixed: fixed(), initial: initial(), needs, done }), {
    kind,
    key: `${target}/${name}`,
    disabled: !mayWrite(),
    title: mayWrite() ? about(name).does : "Needs the scope admin:write",
    label: `${label}: ${called(target)}`,
  });
}

/** Ask, give and show. Resolves with the answer, or undefined where it was thought better of. */
export async function give(target, name, { fixed = {}, initial = {}, needs = null, done = () => {} } = {}) {
  const command = about(name);
  const key = newKey();
  const answer = await confirmed({
    title: `${command.label}: ${called(target)}`,
    does: command.does,
    label: command.label,
    danger: command.danger,
    fields: command.fields.filter((one) => !one.onlyForced || !needs || needs.includes("force")),
    initial,
    send: (given) => post("/v1/admin/control", { target, command: name, command_id: key, ...fixed, ...given }),
  });
  if (answer) done(answer);
  return answer;
}

/**
 * A confirmation with a reason, for whatever `send({reason, …})` does. Its answer is shown before the dialog closes:
 * an operator reads what happens next.
 */
export function confirmed({ title, does, label, danger = false, fields = [], initial = {}, send, body = null, says = "Done." }) {
  return dialog(title, (close) => {
    const made = fields.map((one) => ({ name: one.name, ...one.make(initial[one.name]) }));
    const reason = h("textarea", { rows: 2, required: true, maxlength: 500, autofocus: true });
    const outcome = h("div", { class: "outcome" });
    const submit = h("button", { type: "submit", class: danger ? "primary danger" : "primary" }, label);
    const content = h("form", { onsubmit: run }, h("p", {}, does), body, made.map((one) => one.node),
      field("Reason", reason, "Kept in the audit log with your name. No phone numbers, no secrets."), outcome,
      h("footer", {}, button("Not now", () => close(), { kind: "quiet" }), submit));
    async function run(event) {
      event.preventDefault();
      submit.disabled = true;
      fill(outcome, h("p", { role: "status" }, "Sending …"));
      const given = Object.fromEntries(made.map((one) => [one.name, one.read()]).filter(([, value]) => value !== undefined && value !== false));
      try {
        const answer = await send({ reason: reason.value.trim(), ...given });
        fill(content, told(answer, says), h("footer", {}, button("Done", () => close(answer), { kind: "primary" })));
        content.querySelector("footer button").focus();
      } catch (problem) {
        submit.disabled = false;
        fill(outcome, refusal(problem));
        outcome.scrollIntoView({ block: "nearest" });
      }
    }
    return content;
  });
}

/** A target in a person's words. */
function called(target) {
  const [kind, name] = target.split("/");
  return kind === "payouts" ? `payout ${short(name)}` : (name ?? kind);
}

/** An answer to a command, in its own words. */
function told(answer, says) {
  const waits = answer.outcome === "SECOND_PERSON_NEEDED";
  const balance = answer.balance;
  return h(
    "div",
    { class: `told ${waits ? "wary" : "good"}`, role: "status" },
    h("p", { class: "what" }, answer.what || (waits ? "It waits for another operator." : says)),
    answer.what_next ? h("p", {}, h("b", {}, "Next: "), answer.what_next) : null,
    answer.replayed ? h("p", { class: "faint" }, "This command had been given before; it was not done again.") : null,
    waits ? h("p", {}, h("a", { href: to("proposals") }, "See the proposals")) : null,
    balance ? json(balance) : null,
  );
}
