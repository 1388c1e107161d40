"""What the author of an adapter gives to the conformance suite: a stand-in that runs, and the adapter for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from nepxy.engine.payout import Payout, Status, TransactionId
from nepxy.engine.references import submission_ref
from nepxy.providers.contract import Adapter


class Stage(Protocol):
    """A provider's stand-in that runs, and the adapter for it. Made anew for each test."""

    url: str
    """Base URL of the stand-in."""
    secrets: tuple[str, ...]
    """What the adapter is configured with that must never be shown."""

    def adapter(self, url: str) -> Adapter:
        """A new adapter for a stand-in at this base URL; the same configuration each time. Time-outs of seconds."""

    def variants(self, url: str) -> Mapping[str, Adapter]:
        """The same with one thing of the account changed, by what was: credentials, mode, profile, ..."""

    def payout(self, number: int, *, fails: bool = False) -> Payout:
        """A payout of that number (`a_payout`), which the stand-in pays; or, `fails`, one that it will not pay."""

    async def settle(self) -> None:
        """Wait until nothing more happens at the stand-in by itself."""

    async def moved(self, payout: Payout) -> int:
        """How often its money moved."""

    def webhook(self, payout: Payout) -> Mapping[str, object] | None:
        """What the stand-in would post of it once paid; None: it posts nothing."""


def a_payout(number: int, *, provider: str, amount: int, currency: str, phone_e164: str, country: str,
             details: str = "{}") -> Payout:  # fmt: skip
    """A payout whose first attempt is committed; another number is another payout, with references of its own."""
    now = datetime.now(UTC)
    return Payout(
        transaction_id=TransactionId(f"0193a5c8-0000-7000-8000-{number:012d}"),
        client_id="conformance",
        idempotency_key=f"key-{number}",
        provider=provider,
        status=Status.SENT,
        amount=amount,
        currency=currency,
        phone_e164=phone_e164,
        country=country,
        external_ref=f"order-{number}",
        submission_ref=submission_ref(
            installation_id="conformance",
            client_id="conformance",
            idempotency_key=f"key-{number}",
            generation=0,
        ),
        attempt_count=1,
        last_attempt_at=now,
        answer_by=now + timedelta(seconds=30),
        account="conformance",
        next_retry_at=now + timedelta(seconds=60),
        expires_at=now + timedelta(hours=72),
        created_at=now,
        details=details,
    )
