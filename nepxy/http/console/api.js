// The operators' API (docs/operators-api.md). Every refusal becomes a Problem with what to do about it.

let csrfToken = "";
let onSessionOver = () => {};
let onTokenWrong = () => {};

/** What a request that changes something carries; what happens when the session is over, or is another one by now. */
export function useSession(token, sessionOver, tokenWrong) {
  csrfToken = token;
  onSessionOver = sessionOver;
  onTokenWrong = tokenWrong;
}

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || "The request was refused.");
    this.status = status;
    this.code = document.code || `HTTP_${status}`;
    this.hint = document.hint || "";
    this.fields = document.fields || [];
    this.requestId = document.request_id || "";
    this.document = document;
  }
}

export async function get(path, query = {}) {
  return (await asked("GET", path + search(query))).document;
}

export async function post(path, body = {}) {
  return (await asked("POST", path, JSON.stringify(body), "application/json")).document;
}

/** Send a file's text as it is. */
export async function postFile(path, query, text, type) {
  return (await asked("POST", path + search(query), text, type)).document;
}

export async function remove(path) {
  return (await asked("DELETE", path)).document;
}

/** Query parameters without those that say nothing. */
export function search(query) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false);
  return given.length ? "?" + new URLSearchParams(given) : "";
}

/** The commands' path. A command that is sent again with its key is answered and not done again. */
export function command(target, name, fields) {
  return post("/v1/admin/control", { target, command: name, ...fields });
}

/** A key of our own for one command. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "console-" + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function asked(method, path, body, type) {
  const headers = { Accept: "application/json" };
  if (type) headers["Content-Type"] = type;
  if (method !== "GET") headers["X-CSRF-Token"] = csrfToken;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, credentials: "same-origin", cache: "no-store" });
  } catch {
    throw new Problem(0, {
      code: "NOT_REACHED",
      detail: "NepXy could not be reached.",
      hint: "Check the network. If this was a command it may have been done: look before you send it again.",
    });
  }
  const document = await read(answer);
  if (answer.ok) return { status: answer.status, document };
  const problem = new Problem(answer.status, document);
  if (problem.code === "CSRF_TOKEN_WRONG") {
    onTokenWrong();
    problem.hint = "Somebody signed in anew in another tab. Look at who is signed in now, and give the command again.";
  }
  if (problem.code === "SESSION_OVER" || problem.code === "TOKEN_MISSING") onSessionOver(problem);
  throw problem;
}

async function read(answer) {
  try {
    return await answer.json();
  } catch {
    return { detail: `The answer ${answer.status} has no document.`, hint: "A proxy may have answered in NepXy's place." };
  }
}
