// What the engine says by itself, by server-sent events; and whether that is still so.

const STALE_MS = 7_000;
const AGAIN_MS = [500, 1_000, 2_000, 5_000, 10_000];

const listeners = new Set();
let source = null;
let timer = 0;
let tries = 0;
let heardAt = 0;

/** The last snapshot, and how the connection stands: `connecting`, `live` or `stale`. */
export const live = { snapshot: null, state: "connecting" };

/** `hear(kind, data)` is called for `snapshot`, `changed` and `state` until the answer is called. */
export function listen(hear) {
  listeners.add(hear);
  return () => listeners.delete(hear);
}

export function connect() {
  disconnect();
  live.state = "connecting";
  open();
  timer = setInterval(check, 1_000);
}

export function disconnect() {
  clearInterval(timer);
  source?.close();
  source = null;
  live.snapshot = null;
  tries = 0;
}

/** Ask now and then while the engine says nothing by itself; the answer is for `clearInterval`. */
export function whileSilent(ask) {
  return setInterval(() => live.state !== "live" && ask().catch(() => {}), 4_000);
}

/** When the last snapshot came, in milliseconds; 0: none has. */
export function lastHeard() {
  return heardAt;
}

function open() {
  source = new EventSource("/v1/admin/live");
  const opened = source;
  source.addEventListener("snapshot", (event) => {
    heardAt = Date.now();
    tries = 0;
    live.snapshot = JSON.parse(event.data);
    become("live");
    tell("snapshot", live.snapshot);
  });
  source.addEventListener("changed", (event) => tell("changed", JSON.parse(event.data)));
  source.addEventListener("error", () => {
    become("stale");
    // A browser goes on by itself only while it takes the failure for a passing one.
    if (opened.readyState === EventSource.CLOSED) again(opened);
  });
}

function again(closed) {
  const wait = AGAIN_MS[Math.min(tries++, AGAIN_MS.length - 1)];
  setTimeout(() => {
    if (source === closed) open();
  }, wait);
}

function check() {
  if (live.state === "live" && Date.now() - heardAt > STALE_MS) become("stale");
}

function become(state) {
  if (live.state === state) return;
  live.state = state;
  tell("state", state);
}

function tell(kind, data) {
  for (const hear of [...listeners]) hear(kind, data);
}
