"""Payouts in flight that were sent through other accounts than those configured now: nobody can ask about them.

Source: money rule 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from nepxy.actors.context import EngineParts
from nepxy.actors.messages import SentElsewhere
from nepxy.actors.metrics import EngineMetrics
from nepxy.actors.provider_table import ProviderTable
from nepxy.engine.runtime import LoopActor
from nepxy.storage.accounts import AccountFigures

log = structlog.get_logger("nepxy.supervisor")

COUNT_AGAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsCounted:
    """The supervisor to itself: what is in flight, by account."""

    figures: tuple[AccountFigures, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsNotCounted:
    """The supervisor to itself: the database did not say."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class CountAccounts:
    """The supervisor to itself: ask again."""


class AccountsWatch:
    """Counts when this node comes to own shards, and tells operators. The supervisor's own."""

    def __init__(self, *, actor: LoopActor, parts: EngineParts, providers: ProviderTable) -> None:
        """Count nothing yet.

        Args:
            actor: the supervisor, which hands on what it tells itself here.
            parts: what every actor shares.
            providers: which accounts are configured.
        """
        self._actor = actor
        self._parts = parts
        self._providers = providers
        self.found: tuple[SentElsewhere, ...] = ()

    def count(self) -> None:
        """Ask the database."""
        self._actor.pipe_to_self(
            self._parts.store.accounts_in_flight(shards=tuple(self._parts.ownership.epochs)),
            on_result=lambda figures: AccountsCounted(figures=tuple(figures)),
            on_error=lambda error: AccountsNotCounted(error=error),
            name="supervisor-accounts",
        )

    def counted(self, message: AccountsCounted) -> None:
        """Keep what it said, and say it."""
        self.found = sent_elsewhere(message.figures, self._providers)
        say_sent_elsewhere(self.found, self._providers, self._parts.metrics)

    def not_counted(self, message: AccountsNotCounted) -> None:
        """Ask again soon."""
        log.warning("accounts.not_counted", error=f"{type(message.error).__name__}: {message.error}")
        self._actor.tell_later(COUNT_AGAIN_S, CountAccounts())


def sent_elsewhere(figures: Sequence[AccountFigures], providers: ProviderTable) -> tuple[SentElsewhere, ...]:
    """Which of what is in flight was sent through another account, by provider."""
    counts: dict[str, int] = {}
    for one in figures:
        if one.account != providers.account_of(one.provider):
            counts[one.provider] = counts.get(one.provider, 0) + one.payouts_count
    return tuple(
        SentElsewhere(
            provider=provider,
            payouts_count=payouts_count,
            is_configured=providers.account_of(provider) is not None,
        )
        for provider, payouts_count in sorted(counts.items())
    )


def say_sent_elsewhere(
    found: Sequence[SentElsewhere], providers: ProviderTable, metrics: EngineMetrics
) -> None:
    """Show it to operators: a gauge for each provider, and a line for each that has any."""
    counts = {one.provider: one.payouts_count for one in found}
    for provider in (*providers, *counts.keys() - set(providers)):
        metrics.sent_elsewhere.labels(provider).set(counts.get(provider, 0))
    for one in found:
        log.error(
            "account.changed_under_payouts",
            provider=one.provider,
            payouts_count=one.payouts_count,
            what_follows="they go to REVIEW"
            if one.is_configured
            else "they wait for an account of this provider, and go to REVIEW when they expire",
        )
