// Do we and the providers hold the same? Asking about what is recent or in doubt, and settlement files line by line.

import { get, post, postFile } from "./api.js";
import { fill, h, patch } from "./dom.js";
import { count, person, words } from "./format.js";
import { badge, button, card, copyable, facts, field, json, options, payoutLink, refusal, table, time } from "./pieces.js";
import { go, to } from "./router.js";
import { mayWrite, session } from "./session.js";
import { confirmed } from "./steer.js";

const PATH = "/v1/admin/reconcile";
const AGAIN_MS = 3_000;

export const reconcile = { title: "Reconciliation", open };

async function open({ args: [id] }) {
  return id ? report(id) : all();
}

async function all() {
  const reports = h("div", {});
  async function load() {
    try {
      patch(reports, reportTable((await get(`${PATH}/reports`)).reports));
    } catch (problem) {
      fill(reports, refusal(problem, load));
    }
  }
  await load();
  const timer = setInterval(load, AGAIN_MS);
  return {
    node: h("div", { class: "stack" }, h("div", { class: "halves" }, card("Ask the providers", {}, asking()), card("Match a settlement file", {}, matching())), card("Reports", {}, reports)),
    close: () => clearInterval(timer),
  };
}

function asking() {
  const provider = h("select", {}, options(session.providers, "all providers"));
  const since = h("input", { type: "number", min: 1, max: 720, step: 1, value: 24, required: true });
  const most = h("input", { type: "number", min: 1, step: 1, value: 1000, required: true });
  const ask = async (event) => {
    event.preventDefault();
    show(await confirmed({
      title: "Reconcile", label: "Ask them", says: "They are being asked; the report fills as they answer.", does: "Providers are asked about what is in doubt, in review or settled since then. Nothing is sent, and nothing is settled but by the engine's own rules.",
      send: (given) => post(PATH, { ...(provider.value ? { provider: provider.value } : {}), since_h: Number(since.value), count_max: Number(most.value), ...given }),
    }));
  };
  return h("form", { onsubmit: ask }, h("div", { class: "fields" }, field("Provider", provider), field("Settled in the last (h)", since), field("At most so many", most)), h("button", { type: "submit", class: "primary", disabled: !mayWrite() }, "Ask …"));
}

function matching() {
  const provider = h("select", { required: true }, options(session.providers, "choose"));
  const file = h("input", { type: "file", accept: ".csv,text/csv", required: true });
  const from = h("input", { placeholder: "2026-11-27T00:00:00Z", autocomplete: "off" });
  const until = h("input", { placeholder: "2026-11-28T00:00:00Z", autocomplete: "off" });
  const match = async (event) => {
    event.preventDefault();
    const text = await file.files[0].text();
    show(await confirmed({
      title: `Match ${file.files[0].name}`, label: "Match it", says: "The file was taken; the report fills as its lines are matched.", does: `Each line is compared with what we hold of ${provider.value}. Nothing is settled by it.`,
      send: (given) => postFile(`${PATH}/files`, { provider: provider.value, from: from.value.trim(), to: until.value.trim(), reason: given.reason }, text, "text/csv"),
    }));
  };
  return h("form", { onsubmit: match }, h("div", { class: "fields" }, field("Provider", provider), field("File (CSV)", file), field("From", from, "UTC"), field("To", until, "UTC")), h("button", { type: "submit", class: "primary", disabled: !mayWrite() }, "Match …"));
}

function show(answer) {
  if (answer?.report) go("reconcile", [answer.report.report_id]);
}

function reportTable(reports) {
  return table("Reports", [
    { title: "Began", cell: (one) => h("a", { href: to("reconcile", [one.report_id]) }, time(one.started_at)) },
    { title: "Kind", cell: (one) => words(one.kind) },
    { title: "Provider", cell: (one) => one.provider ?? "all" },
    { title: "State", cell: (one) => badge(one.state) },
    { title: "Figures", kind: "why", cell: (one) => figures(one.figures) },
    { title: "By", cell: (one) => person(one.who) },
  ], reports, { empty: "Nothing has been reconciled yet.", key: (one) => one.report_id });
}

function figures(all) {
  return Object.entries(all ?? {}).filter(([, value]) => typeof value !== "object").map(([name, value]) => `${words(name)} ${typeof value === "number" ? count(value) : value}`).join(" · ");
}

async function report(id) {
  const path = `${PATH}/reports/${encodeURIComponent(id)}`;
  const place = h("div", { class: "stack" });
  let state = "RUNNING";
  let later = [];
  async function more(after) {
    const page = await get(path, { after });
    later = [...later, page];
    await load();
  }
  async function load() {
    const one = await get(path);
    state = one.state;
    const pages = [one, ...later];
    const next = pages.at(-1).next_after;
    patch(place, card("Report", {}, facts([
      ["Kind", words(one.kind)], ["Provider", one.provider ?? "all"], ["State", badge(one.state)], ["Figures", figures(one.figures)], ["Progress", one.progress?.total ? h("span", { class: "progress" }, h("progress", { max: one.progress.total, value: one.progress.done, "aria-label": "done" }), ` ${count(one.progress.done)} of ${count(one.progress.total)}`) : null],
      ["By", person(one.who)], ["Began", time(one.started_at)], ["Ended", one.ended_at && time(one.ended_at)],
    ]), h("p", {}, h("a", { class: "button", href: `${path}.csv`, download: `reconciliation-${id}.csv` }, "Download as CSV"))),
    card("Differences", {}, differences(pages.flatMap((page) => page.differences ?? [])), next ? button("Show more", () => more(next)) : null));
  }
  await load();
  const timer = setInterval(() => state === "RUNNING" && load().catch(() => {}), AGAIN_MS);
  return { node: h("div", { class: "stack" }, h("p", {}, h("a", { href: to("reconcile") }, "All reports")), place), close: () => clearInterval(timer) };
}

function differences(all) {
  return table("Differences", [
    { title: "#", number: true, cell: (one) => one.n },
    { title: "What", cell: (one) => words(one.kind) },
    { title: "Payout", cell: (one) => payoutLink(one.transaction_id) },
    { title: "Detail", kind: "why", cell: (one) => one.detail },
    { title: "Ours and theirs", cell: (one) => h("details", {}, h("summary", {}, "look"), json({ ours: one.ours, theirs: one.theirs })) },
    { title: "What helps", kind: "why", cell: (one) => (one.commands ?? []).map((help) => h("p", { class: "faint" }, help.does, h("br"), copyable(help.cli))) },
  ], all, { empty: "No differences.", key: (one) => one.n });
}
