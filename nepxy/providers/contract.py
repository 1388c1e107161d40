"""What an adapter is: the one interface between the engine and a provider's wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from nepxy.engine.capabilities import Capabilities
from nepxy.engine.outcomes import Outcome, StatusReport
from nepxy.engine.payout import Payout


class SendGuard(Protocol):
    """Says whether a submit may still be written to a socket (money rule 2)."""

    def is_late(self) -> bool:
        """Whether `send_by` has passed; asked once a connection has been acquired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a webhook says: which payout, and what became of it."""

    provider_ref: str | None
    our_ref: str | None
    """What it names besides: one of our references, if it is ours at all; never trusted to be the client's."""
    status_word: str
    report: StatusReport


class Adapter(Protocol):
    """One provider account, as configured. Coroutines may be cancelled at any await."""

    @property
    def name(self) -> str:
        """The provider's name: `TMONEY`, `FLOOZ`, `MOMO`, `THUNES`."""

    @property
    def capabilities(self) -> Capabilities:
        """The provider's contract."""

    @property
    def account(self) -> str:
        """Fingerprint of the configured account: mode, profile, base URL and credential id; no secret in it."""

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        """Send the payout under its `submission_ref`; the intent is committed. Raises for nothing a provider does."""

    async def look_up(self, payout: Payout) -> StatusReport:
        """Ask what became of our `submission_ref`. Only where the capabilities allow it."""

    async def poll(self, payout: Payout) -> StatusReport:
        """Ask for the state of the payout's `provider_ref`."""

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        """Read a webhook's parsed body. Pure.

        Raises:
            RequestError: `MISSING_STATUS` or `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
        """

    async def close(self) -> None:
        """Close its connections."""
