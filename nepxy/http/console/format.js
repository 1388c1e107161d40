// How figures, money and times are written. Amounts come as integers in minor units and are never floats here.

/** A figure is never broken in two. */
const NO_BREAK = "\u00a0";

let minorDigits = {};

/** The digits of each currency, as the server knows them: the browser's own table differs for some. */
export function useMinorDigits(digits) {
  minorDigits = digits;
}

/** 1234500 GHS is "12 345.00 GHS"; of a currency that nobody knows the minor units are shown as such. */
export function money(amount, currency) {
  if (amount === null || amount === undefined) return "–";
  const digits = minorDigits[currency];
  if (digits === undefined) return `${grouped(String(amount))} minor units ${currency ?? ""}`.trim();
  const sign = amount < 0 ? "−" : "";
  const text = String(Math.abs(amount)).padStart(digits + 1, "0");
  const whole = grouped(text.slice(0, text.length - digits));
  return `${sign}${whole}${digits ? "." + text.slice(-digits) : ""}${NO_BREAK}${currency}`;
}

export function count(number) {
  return number === null || number === undefined ? "–" : grouped(String(number));
}

/** A share of one as a percentage that does not round 99.96 % up to 100 %. */
export function share(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0 || value === 1) return `${value * 100} %`;
  return `${(Math.floor(value * 1000) / 10).toFixed(1)} %`;
}

/** Seconds in the unit that a person would use: 0.24 is "240 ms", 93 is "1 min 33 s". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return joined(whole, 60, "min", "s");
  if (whole < 86400) return joined(Math.round(whole / 60), 60, "h", "min");
  return joined(Math.round(whole / 3600), 24, "d", "h");
}

/** How long ago a time was, or how far ahead it is. */
export function ago(time) {
  if (!time) return "–";
  const seconds = (Date.now() - new Date(time).getTime()) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `${duration(Math.max(1, seconds))} ago` : `in ${duration(Math.max(1, -seconds))}`;
}

export function age(time) {
  return time ? duration(Math.max(1, (Date.now() - new Date(time).getTime()) / 1000)) : "–";
}

/** A time of day in UTC, with its date where that is not today's. */
export function moment(time) {
  if (!time) return "–";
  const text = new Date(time).toISOString();
  const today = new Date().toISOString().slice(0, 10);
  return (text.slice(0, 10) === today ? "" : text.slice(0, 10) + " ") + text.slice(11, 19);
}

/** The whole of a time, for titles. */
export function exact(time) {
  return time ? new Date(time).toISOString().replace("T", " ").replace("Z", " UTC") : "";
}

/** Enough of an id to tell it from its neighbours: UUIDv7s of one minute share their beginnings. */
export function short(id) {
  return id && id.length > 16 ? `${id.slice(0, 4)}…${id.slice(-8)}` : (id ?? "–");
}

/** Who did something: operators by their id alone, all others as they are called. */
export function person(who) {
  return String(who ?? "").replace(/^operator:/, "");
}

/** SNAKE_CASE as words. */
export function words(name) {
  return String(name ?? "").replaceAll("_", " ").toLowerCase();
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, NO_BREAK);
}

function joined(whole, of, large, small) {
  const rest = whole % of;
  return `${Math.floor(whole / of)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}
