// Our own few pictures, drawn in strokes on 16 by 16. They are decoration: the words beside them say the same.

import { svg } from "./dom.js";

const PATHS = {
  overview: "M2 13V8m4 5V4m4 9V6m4 7V2",
  review: "M8 2 1.5 13.5h13L8 2Zm0 4.5v3.2m0 1.8v.3",
  payouts: "M2 4h12M2 8h12M2 12h8",
  providers: "M3 3h4v4H3zM9 9h4v4H9zM7 5h4v4",
  actors: "M8 2v4m0 0H3.5v3M8 6h4.5v3M8 6v3M2 9h3v3H2zm4.5 0h3v3h-3zM11 9h3v3h-3z",
  engine: "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5ZM8 1v2m0 10v2M1 8h2m10 0h2M3 3l1.5 1.5m7 7L13 13M13 3l-1.5 1.5m-7 7L3 13",
  proposals: "M5 8l2 2 4-4.5M2 2.5h12v11H2z",
  discrepancies: "M3 5h10M3 11h10M10.5 2.5l-5 11",
  audit: "M4 1.5h8v13H4zM6 5h4M6 8h4M6 11h2",
  webhooks: "M2 8h8m0 0L7 5m3 3-3 3M13 2v12",
  idempotency: "M5.5 8a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0Zm0 0H15v2.5M12 8v2",
  bulk: "M2 3.5h8M2 8h8M2 12.5h8m2.5-10v11m0 0L10.8 12m1.7 1.5 1.7-1.5",
  reconcile: "M2 5h10m0 0L9.5 2.5M12 5 9.5 7.5M14 11H4m0 0 2.5-2.5M4 11l2.5 2.5",
  menu: "M2 4h12M2 8h12M2 12h12",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9Zm3.3 7.8L14 14",
  help: "M6 6a2 2 0 1 1 2.6 1.9c-.5.2-.6.6-.6 1.1v.4m0 2v.3M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Z",
};

export function icon(name) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] ?? "" }),
  );
}
