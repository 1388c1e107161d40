// Which view the address names: #/payouts?status=SENT is the view `payouts` with no arguments and one query field.

/** The address as a view's name, its arguments and its query. */
export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/");
  return { name: name || "overview", args: rest.map(decoded), query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a view. */
export function to(name, args = [], query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const path = [name, ...args.map(encodeURIComponent)].join("/");
  return `#/${path}${given.length ? "?" + new URLSearchParams(given) : ""}`;
}

export function go(name, args, query) {
  location.hash = to(name, args, query);
}

/** Change the query of the address without a new entry in the history. */
export function requery(query) {
  const { name, args } = here();
  history.replaceState(null, "", to(name, args, query));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
