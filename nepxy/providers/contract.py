"""What an adapter is: the one interface between the engine and a provider's wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from nepxy.engine.capabilities import Capabilities
from nepxy.engine.outcomes import Outcome, StatusReport
from nepxy.engine.payout import Payout, ProviderRef


class SendGuard(Protocol):
    """Says whether a submit may still be written to a socket (money rule 2)."""

    def is_late(self) -> bool:
        """Whether `send_by` has passed; asked once a connection has been acquired."""

    async def reached(self, step: str, *, provider_ref: ProviderRef | None = None) -> bool:
        """Commit that a submit of several writes has come so far, before its next write.

        After a crash the row says which write may have happened, and what the provider calls it.

        Args:
            step: a stable upper-case code, as `QUOTED`, `CREATED`, `CONFIRMING`; at most 40 characters.
            provider_ref: the provider's reference, once there is one.

        Returns:
            Whether it is committed and the submit may go on. False: stop, and answer `UNKNOWN` `STEP_NOT_COMMITTED`
            (or `NOT_SENT` where nothing that moves money has left yet and nothing is kept at the provider).
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a webhook says: which payout, and what became of it."""

    provider_ref: str | None
    our_ref: str | None
    """What it names besides: one of our references, if it is ours at all; never trusted to be the client's."""
    status_word: str
    report: StatusReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What we hold at a provider, in the currency's minor unit."""

    amount: int
    currency: str


class AccountState(StrEnum):
    """What a provider says of a wallet before anything is sent to it."""

    ACTIVE = "ACTIVE"
    UNKNOWN_PAYEE = "UNKNOWN_PAYEE"
    """It says that there is no such wallet, or that it takes no money."""
    NOT_TOLD = "NOT_TOLD"
    """The check failed or is not understood: it says nothing."""


class ReportsBalance(Protocol):
    """An adapter whose capabilities say `balance`."""

    async def balance(self, currency: str) -> Balance | None:
        """What we hold; None: it could not be had, which says nothing."""


class ChecksAccounts(Protocol):
    """An adapter whose capabilities say `account_check`."""

    async def check_account(self, phone_e164: str) -> AccountState:
        """Whether the wallet takes money. Raises for nothing a provider does."""


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
