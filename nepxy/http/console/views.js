// All views by the name that the address has for them. `under`: whose place in the navigation a view shares.

import { actors } from "./actors.js";
import { audit } from "./audit.js";
import { bulk } from "./bulk.js";
import { discrepancies } from "./discrepancies.js";
import { engine } from "./engine.js";
import { idempotency } from "./idempotency.js";
import { overview } from "./overview.js";
import { payout } from "./payout.js";
import { payouts } from "./payouts.js";
import { proposals } from "./proposals.js";
import { providers } from "./providers.js";
import { reconcile } from "./reconcile.js";
import { review } from "./review.js";
import { found } from "./search.js";
import { webhooks } from "./webhooks.js";

export const VIEWS = {
  overview, review, payouts, payout, search: found, providers, actors, engine,
  proposals, discrepancies, audit, webhooks, idempotency, bulk, reconcile,
};

export const NAVIGATION = [
  ["Now", ["overview", "review", "payouts", "providers"]],
  ["Inside", ["actors", "engine", "webhooks", "idempotency"]],
  ["Many at once", ["bulk", "reconcile"]],
  ["Who did what", ["proposals", "discrepancies", "audit"]],
];
