// The frame around every view: navigation, search, whether what is shown is live, and who is signed in.

import { fill, h, patch, spoken } from "./dom.js";
import { say } from "./dialog.js";
import { count, duration } from "./format.js";
import { icon } from "./icons.js";
import { showKeys } from "./keys.js";
import { lastHeard, live } from "./live.js";
import { here, to } from "./router.js";
import { searchFor } from "./search.js";
import { session, signOut } from "./session.js";
import { NAVIGATION, VIEWS } from "./views.js";

const SIGNS = { live: "Live", stale: "Stale", connecting: "Connecting" };

export function frame() {
  const links = new Map();
  const main = h("main", { id: "main", tabindex: -1 });
  const title = h("h1", {});
  const sign = h("span", { class: "sign connecting", role: "status" }, "Connecting");
  const banner = h("div", { class: "banner", role: "alert", hidden: true });
  const box = h("input", { type: "search", id: "search", placeholder: "Phone, reference or id", "aria-label": "Search payouts by phone, reference or id", autocomplete: "off", spellcheck: "false" });
  const find = (event) => {
    event.preventDefault();
    if (box.value.trim()) searchFor(box.value.trim());
  };
  const nav = h("nav", { id: "navigation", "aria-label": "Views" }, NAVIGATION.map(([group, names]) => group_(group, names, links)));
  const menu = h("button", { type: "button", class: "menu quiet", "aria-expanded": "false", "aria-controls": "navigation", onclick: () => unfold(menu.getAttribute("aria-expanded") === "false") }, icon("menu"), "Menu");
  const node = h("div", { class: "frame" },
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "To the content"),
    h("header", { class: "side" },
      h("a", { class: "brand", href: to("overview") }, h("img", { src: "/console/files/mark.svg", alt: "", width: 24, height: 24 }), "NepXy", session.env === "prod" ? null : h("span", { class: "env" }, session.env)),
      menu, nav,
      h("div", { class: "who" }, h("span", { title: session.operatorId }, session.name || session.operatorId),
        h("button", { type: "button", class: "small quiet", onclick: () => signOut().catch((problem) => say(problem.message, "bad")) }, "Sign out"))),
    h("div", { class: "body" },
      h("div", { class: "top" }, title, h("form", { role: "search", onsubmit: find }, icon("search"), box), sign,
        h("button", { type: "button", class: "quiet round", onclick: showKeys, "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts (?)" }, icon("help"))),
      banner, main));

  function unfold(open) {
    menu.setAttribute("aria-expanded", String(open));
    node.classList.toggle("unfolded", open);
  }

  function showSign() {
    sign.className = `sign ${live.state}`;
    const silent = lastHeard() ? ` since ${duration(Math.round((Date.now() - lastHeard()) / 1000))}` : "";
    patch(sign, SIGNS[live.state] + (live.state === "stale" ? silent : ""));
    banner.hidden = live.state !== "stale";
    if (!banner.hidden) patch(banner, "The engine is not heard: figures may be old. Trying again by itself.");
  }

  const timer = setInterval(() => {
    if (!node.isConnected) clearInterval(timer);
    else if (live.state === "stale") showSign();
  }, 1_000);

  return {
    node,
    main,
    title: (text) => fill(title, text),
    focusSearch: () => box.select(),
    mark(name) {
      unfold(false);
      for (const [other, link] of links) {
        if (other === (VIEWS[name]?.under ?? name)) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    },
    hear(kind, data) {
      showSign();
      if (kind === "snapshot") badges(links, data);
    },
  };
}

function group_(group, names, links) {
  return h("div", { class: "group" }, h("p", { class: "group-name" }, group), h("ul", {}, names.map((name) => {
    const link = h("a", { href: to(name) }, icon(name), VIEWS[name].title, h("span", { class: "tally" }));
    links.set(name, link);
    return h("li", {}, link);
  })));
}

/** How many wait, beside the names of the views where they do. */
function badges(links, snapshot) {
  const inFlight = snapshot.summary?.in_flight ?? [];
  const review = inFlight.filter((row) => row.status === "REVIEW").reduce((sum, row) => sum + row.count, 0);
  const wrong = (snapshot.incidents ?? []).filter((one) => one.state === "wrong").length;
  const paused = (snapshot.providers ?? []).filter((one) => one.paused).length;
  for (const [name, number, what] of [["review", review, "wait for a person"], ["overview", wrong, "incidents"], ["providers", paused, "paused"]]) {
    patch(links.get(name).querySelector(".tally"), number ? [count(number), spoken(` ${what}`)] : "");
  }
}

/** Where a person is, for the help. */
export function placeName() {
  return VIEWS[here().name]?.title ?? "";
}
