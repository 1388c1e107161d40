"""The sandbox's own API under `/_sandbox`: the ledger, the counts, the knobs. No provider has this.

Open to whoever reaches the port: the server binds to the loopback address unless told otherwise.
"""

from dataclasses import asdict
from itertools import islice
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from nepxy.sandbox.faults import Faults
from nepxy.sandbox.ledger import Account
from nepxy.sandbox.magic_table import rows
from nepxy.sandbox.wire import error_response, json_response
from nepxy.sandbox.world import World

EXAMPLES_MAX = 100


class Control:
    """Handlers over one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """The control endpoints."""
        return [
            web.get("/_sandbox/ledger", self.ledger),
            web.delete("/_sandbox/ledger", self.reset_ledger),
            web.get("/_sandbox/ledger/{external_id}", self.account),
            web.get("/_sandbox/accounts", self.accounts),
            web.get("/_sandbox/summary", self.summary),
            web.get("/_sandbox/faults", self.faults),
            web.post("/_sandbox/faults", self.set_faults),
            web.get("/_sandbox/magic", self.magic),
        ]

    async def ledger(self, request: web.Request) -> web.StreamResponse:
        """All movements in order, and totals of each reference whose money moved."""
        ledger = self._world.ledger
        return json_response(
            {
                "entries": [movement.as_json() for movement in ledger.movements],
                "totals": ledger.moved_totals(),
            }
        )

    async def account(self, request: web.Request) -> web.StreamResponse:
        """One reference; zeros, not 404, for one that never came: "how often did it move?" has an answer."""
        external_id = request.match_info["external_id"]
        account = self._world.ledger.accounts.get(external_id, Account())
        entries = [movement.as_json() for movement in account.movements]
        return json_response({"external_id": external_id, **account.as_json(), "entries": entries})

    async def accounts(self, request: web.Request) -> web.StreamResponse:
        """Every reference that ever came, whether or not its money moved: who was called without need shows here.

        Submits are counted since the sandbox started; what was accepted and what moved outlives a restart.
        """
        accounts = self._world.ledger.accounts
        return json_response({ref: account.as_json() for ref, account in accounts.items()})

    async def reset_ledger(self, request: web.Request) -> web.StreamResponse:
        """Forgets movements and counts; orders and their statuses stay."""
        self._world.reset_ledger()
        return web.Response(status=204)

    async def summary(self, request: web.Request) -> web.StreamResponse:
        """Counts; constant work, so that a test may poll it under load."""
        world = self._world
        ledger, repaid = world.ledger, world.ledger.paid_more_than_once
        return json_response(
            {
                "submits_received": ledger.submit_count,
                "distinct_references": len(ledger.accounts),
                "orders_accepted": ledger.accepted_count,
                "orders_pending": world.book.pending_count,
                "orders_settling": world.book.settling_count,
                "movements": len(ledger.movements),
                "references_paid_more_than_once": len(repaid),
                "paid_more_than_once_examples": list(islice(repaid, EXAMPLES_MAX)),
                "status_reads": world.status_read_count,
                "webhooks": {
                    **asdict(world.webhooks.counts),
                    "outstanding": world.webhooks.outstanding_count,
                },
            }
        )

    async def faults(self, request: web.Request) -> web.StreamResponse:
        """Every provider's knobs, by provider."""
        return self._show_faults()

    async def set_faults(self, request: web.Request) -> web.StreamResponse:
        """Turns the named knobs of one provider (`?provider=tmoney`), or of all; an empty object turns none.

        `{"reset": true}` puts every other knob back to a good day first.
        """
        names = list(self._world.faults)
        if "provider" in request.query:
            names = [name for name in names if name == request.query["provider"]]
            if not names:
                return error_response(
                    404, "UNKNOWN_PROVIDER", f"providers here: {', '.join(self._world.faults)}"
                )
        try:
            patch: Any = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return error_response(400, "INVALID_JSON", "the body is not JSON")
        if type(patch) is not dict:
            return error_response(400, "INVALID_JSON", "the body is not a JSON object")
        start_afresh = patch.pop("reset", False) is True
        try:
            turned = {
                name: (Faults() if start_afresh else self._world.faults[name]).changed(patch)
                for name in names
            }
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            return error_response(422, "INVALID_FAULTS", problems)
        self._world.faults.update(turned)
        return self._show_faults()

    async def magic(self, request: web.Request) -> web.StreamResponse:
        """The tables of magic numbers."""
        return json_response([asdict(row) for row in rows()])

    def _show_faults(self) -> web.Response:
        return json_response({name: faults.model_dump() for name, faults in self._world.faults.items()})
