"""Payouts in flight that were sent through other accounts than those configured now: nobody can ask about them.

Source: money rule 10.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from nepxy.actors.messages import SentElsewhere
from nepxy.actors.metrics import EngineMetrics
from nepxy.actors.provider_table import ProviderTable
from nepxy.storage.accounts import AccountFigures

log = structlog.get_logger("nepxy.supervisor")


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
