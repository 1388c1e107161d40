// Two plots over time, drawn in SVG: areas that are stacked, and bars. Each has its figures as words and as a table, too.

import { fill, h, svg } from "./dom.js";
import { count, moment } from "./format.js";

const LEFT = 40;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 20;
const MINUTE_MS = 60_000;

/**
 * A figure with its legend.
 *
 * `series`: {name, tone, values}, from the bottom up, one value a point of `times` (milliseconds); `kind`: `areas` or
 * `bars`; `width` is that of the place it goes to. The reading follows the pointer, or the arrow keys while the plot has the focus.
 */
export function plot({ title, kind = "areas", times, series, width = 640, height = 150, note = "" }) {
  const top = niceTop(Math.max(1, ...times.map((_, index) => total(series, index))));
  const from = times[0] ?? Date.now() - 60 * MINUTE_MS;
  const until = Math.max(times.at(-1) ?? Date.now(), from + MINUTE_MS);
  const x = (time) => LEFT + ((time - from) / (until - from)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (height - TOP - BOTTOM);

  const cursor = svg("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
  const reading = h("span", { class: "reading", "aria-live": "polite" }, note);
  const drawing = svg(
    "svg",
    { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label": spokenOf(title, series) },
    ticks(top, y, width),
    hours(from, until, x, width, height),
    times.length ? (kind === "bars" ? bars(times, series, x, y) : areas(times, series, x, y)) : empty(width, height),
    cursor,
  );
  let at = times.length - 1;
  const show = (index) => {
    if (!times.length) return;
    at = Math.max(0, Math.min(times.length - 1, index));
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(times[at]));
    cursor.setAttribute("visibility", "visible");
    const parts = series.map((one) => `${one.name} ${count(one.values[at] ?? 0)}`);
    fill(reading, `${moment(times[at])}: ${parts.join(", ")}`);
  };
  const hide = () => {
    cursor.setAttribute("visibility", "hidden");
    fill(reading, note);
  };
  drawing.onpointermove = (event) => show(nearest(times, x, pointerX(drawing, event, width)));
  drawing.onpointerleave = hide;
  drawing.onblur = hide;
  drawing.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -times.length, End: times.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(at + step);
  };
  return h(
    "figure",
    { class: "plotted" },
    h("figcaption", {}, h("b", {}, title), legend(series)),
    drawing,
    h("p", { class: "faint readings" }, reading),
  );
}

function legend(series) {
  return h(
    "span",
    { class: "legend" },
    series.map((one) => h("span", { class: `key ${one.tone}` }, `${one.name} ${count(one.values.at(-1) ?? 0)}`)),
  );
}

function areas(times, series, x, y) {
  const below = times.map(() => 0);
  return series.filter((one) => one.values.some(Boolean)).map((one) => {
    const lower = times.map((time, index) => `${round(x(time))},${round(y(below[index]))}`);
    times.forEach((_, index) => (below[index] += one.values[index] ?? 0));
    const upper = times.map((time, index) => `${round(x(time))},${round(y(below[index]))}`);
    return svg(
      "g",
      { class: `series ${one.tone}` },
      svg("polygon", { points: [...lower, ...upper.toReversed()].join(" ") }),
      svg("polyline", { points: upper.join(" ") }),
    );
  });
}

function bars(times, series, x, y) {
  const step = times.length > 1 ? x(times[1]) - x(times[0]) : 8;
  const thick = Math.max(1, step * 0.8);
  const below = times.map(() => 0);
  return series.map((one) =>
    svg(
      "g",
      { class: `series solid ${one.tone}` },
      times.map((time, index) => {
        const value = one.values[index] ?? 0;
        if (!value) return null;
        const bottom = below[index];
        below[index] += value;
        const height = y(bottom) - y(bottom + value);
        return svg("rect", { x: round(x(time) - thick / 2), y: round(y(bottom + value)), width: round(thick), height: round(height) });
      }),
    ),
  );
}

function ticks(top, y, width) {
  return [0, top / 2, top].map((value) =>
    svg(
      "g",
      { class: "tick" },
      svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, Number.isInteger(value) ? compact(value) : ""),
    ),
  );
}

function hours(from, until, x, width, height) {
  const minutes = (until - from) / MINUTE_MS;
  const step = [1, 2, 5, 10, 15, 30, 60].find((one) => minutes / one <= (width - LEFT) / 70) ?? 120;
  const marks = [];
  for (let time = Math.ceil(from / (step * MINUTE_MS)) * step * MINUTE_MS; time <= until; time += step * MINUTE_MS) {
    const text = new Date(time).toISOString().slice(11, 16);
    if (x(time) > LEFT + 14 && x(time) < width - 20) {
      marks.push(svg("text", { class: "hour", x: x(time), y: height - 5, "text-anchor": "middle" }, text));
    }
  }
  return marks;
}

function empty(width, height) {
  return svg("text", { class: "hour", x: width / 2, y: height / 2, "text-anchor": "middle" }, "no figures yet");
}

function nearest(times, x, at) {
  let best = 0;
  times.forEach((time, index) => {
    if (Math.abs(x(time) - at) < Math.abs(x(times[best]) - at)) best = index;
  });
  return best;
}

function pointerX(drawing, event, width) {
  const box = drawing.getBoundingClientRect();
  return ((event.clientX - box.left) / box.width) * width;
}

function total(series, index) {
  return series.reduce((sum, one) => sum + (one.values[index] ?? 0), 0);
}

/** The smallest even step above the highest value, so that the half of it is whole, too. */
function niceTop(highest) {
  const power = 10 ** Math.floor(Math.log10(highest));
  const step = [1, 2, 4, 6, 8, 10].find((one) => one * power >= highest) ?? 10;
  return Math.max(2, step * power);
}

function compact(value) {
  return value >= 10_000 ? `${Math.round(value / 1000)}k` : count(value);
}

function round(value) {
  return Math.round(value * 10) / 10;
}

function spokenOf(title, series) {
  const parts = series.map((one) => `${one.name} ${one.values.at(-1) ?? 0}, at most ${Math.max(0, ...one.values)}`);
  return `${title}. ${parts.join("; ")}. Arrow keys read single points.`;
}
