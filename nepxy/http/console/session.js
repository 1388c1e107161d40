// Who is signed in. The server keeps a session only while its person does something: we say so, at most once a minute.

import { get, post, Problem, remove, useSession } from "./api.js";
import { useMinorDigits } from "./format.js";

const PATH = "/console/session";
const SAY_SO_MS = 60_000;

export const session = { signedIn: false, operatorId: "", name: "", scopes: [], env: "", version: "", providers: [], overAt: null };

let changed = () => {};
let saidAt = 0;

/** Learn who is signed in; `onChange` hears of every sign-in and sign-out. */
export async function start(onChange) {
  changed = onChange;
  for (const doing of ["pointerdown", "keydown"]) addEventListener(doing, stay, { passive: true, capture: true });
  take(await get(PATH).catch((problem) => {
    if (problem.status === 401 || problem.status === 403) return { signed_in: false };
    throw problem;
  }));
}

export async function signIn(operatorId, secret) {
  const document = await post(PATH, { operator_id: operatorId, secret });
  if (!(await get(PATH)).signed_in) {
    throw new Problem(0, { code: "COOKIE_NOT_KEPT", detail: "The secret is right, but the browser did not keep the session.", hint: "Outside development the console needs HTTPS; and cookies must be allowed for it." });
  }
  take(document);
}

export async function signOut() {
  await remove(PATH).catch((problem) => {
    if (problem.status !== 401) throw problem;
  });
  take({ signed_in: false });
}

/** May this person change anything? The server decides; this only spares him buttons that would be refused. */
export function mayWrite() {
  return session.scopes.includes("admin") || session.scopes.includes("admin:write");
}

async function stay() {
  if (!session.signedIn || Date.now() - saidAt < SAY_SO_MS) return;
  saidAt = Date.now();
  try {
    take(await get(PATH), false);
  } catch {
    // A refusal has ended the session already; while the server is away there is nothing to say.
  }
}

function take(document, tell = true) {
  session.signedIn = document.signed_in;
  if (document.signed_in) {
    saidAt = Date.now();
    session.operatorId = document.operator_id;
    session.name = document.name;
    session.scopes = document.scopes;
    session.env = document.env;
    session.version = document.version;
    session.providers = document.providers;
    session.overAt = document.over_at;
    useMinorDigits(document.minor_digits);
  }
  useSession(document.csrf_token ?? "", over, anew);
  if (tell) changed();
}

/** Another tab signed in: its session is ours, too. */
function anew() {
  get(PATH).then((document) => take(document, false), () => {});
}

function over() {
  if (session.signedIn) take({ signed_in: false });
}
