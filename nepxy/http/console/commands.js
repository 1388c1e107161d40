// The commands by name: what a button says, what the dialog explains, and which fields of its own a command has.

import { h } from "./dom.js";
import { field } from "./pieces.js";

const number = (name, label, hint, attributes = {}) => ({
  name,
  make: (initial) => {
    const input = h("input", { type: "number", inputmode: "decimal", min: 0, step: "any", value: initial ?? "", ...attributes });
    return { node: field(label, input, hint), read: () => (input.value === "" ? null : Number(input.value)) };
  },
});

const tick = (name, label, hint) => ({
  name,
  onlyForced: true,
  make: () => {
    const input = h("input", { type: "checkbox" });
    return { node: field(label, input, hint), read: () => input.checked };
  },
});

const text = (name, label, hint) => ({
  name,
  make: () => {
    const input = h("input", { autocomplete: "off", spellcheck: "false" });
    return { node: field(label, input, hint), read: () => input.value.trim() || undefined };
  },
});

const FORCE = tick("force", "Its final state is wrong: change it anyway", "Needs the evidence in your reason, and a second person.");
const CONSENT = tick("client_consents", "The client has consented, on record", "Name where in your reason.");
const PROVIDER_REF = text("provider_ref", "Provider's reference", "As the provider's own records name the payment, if you have it.");

/** `danger`: what a person should read twice. */
const COMMANDS = {
  // A payout's.
  retry: { label: "Retry", does: "Asks the provider at once, and sends it again only where that cannot pay twice.", fields: [FORCE, CONSENT] },
  poll: { label: "Ask now", does: "Asks the provider now how it stands." },
  confirm: { label: "Confirm", does: "Settles it as paid. Only with the provider's own records before you.", fields: [PROVIDER_REF, FORCE], danger: true },
  fail: { label: "Fail", does: "Settles it as not paid. Only with the provider's own records before you.", fields: [FORCE], danger: true },
  cancel: { label: "Cancel", does: "Ends it before anything is sent.", danger: true },
  release: { label: "Release", does: "Takes it out of review: the engine goes on with it by its rules." },
  note: { label: "Note", does: "Writes your reason into its history, and changes nothing." },
  // A provider's.
  pause: { label: "Pause", does: "Stops new submits on every node. Polls, webhooks and settlement go on.", danger: true },
  resume: { label: "Resume", does: "Submits go on where they stopped." },
  pause_retries: { label: "Pause retries", does: "First attempts go on; no payout is sent a second time." },
  resume_retries: { label: "Resume retries", does: "Payouts may be sent again by their rules." },
  set_backoff: {
    label: "Set backoff", does: "How long retries wait. Left empty: as configured.",
    fields: [
      number("base_s", "Longest wait before the first retry, in seconds", ""),
      number("cap_s", "Longest wait between two retries, in seconds", ""),
    ],
  },
  set_pace: {
    label: "Set pace", does: "How fast and how widely it is called. Left empty: as configured.",
    fields: [
      number("requests_per_s", "Requests a second", "0: no limit"),
      number("concurrency_max", "Calls at once", "", { step: 1, min: 1 }),
    ],
  },
  open_breaker: { label: "Open breaker", does: "No call leaves until it is released or closed again.", danger: true },
  close_breaker: { label: "Close breaker", does: "Calls go out whatever fails, until it is released.", danger: true },
  release_breaker: { label: "Release breaker", does: "The breaker decides by itself again." },
  check_balance: { label: "Check balance", does: "Asks the provider what we hold there." },
  retry_failed: { label: "Retry failed", does: "Many payouts: a dry run comes first." },
  // The supervisor's.
  drain: { label: "Drain node", does: "Stops this node's intake; what is in flight goes on.", danger: true },
  pause_intake: { label: "Pause intake", does: "No node takes new payouts; clients are told to come again.", danger: true },
  resume_intake: { label: "Resume intake", does: "New payouts are taken again." },
  recover: { label: "Recover now", does: "Looks at once for payouts that are due and in nobody's memory." },
  reload_secrets: { label: "Reload secrets", does: "Reads the secrets' files again." },
  release_restored: {
    label: "Release after restore", danger: true,
    does: "The database was restored: submits begin again. Read docs/backup-and-restore.md first.",
    fields: [number("reposts_for_h", "Look new payouts up first, for hours", "72", { min: 0 })],
  },
  set_limits: {
    label: "Set limits", does: "How many payouts are kept in memory. Left empty: as configured.",
    fields: [number("payouts_in_memory_max", "Payouts in memory at most", "", { step: 1, min: 1 })],
  },
};

/** What is known of a command; a name that is new to us is shown as it is. */
export function about(name) {
  return { label: name.replaceAll("_", " "), does: "", fields: [], danger: false, ...COMMANDS[name] };
}
