"""Why a payout was not paid, in the few words that a client can show to its own users.

A provider's own code stays in `status_reason`. Its capabilities say which of these words it means; a code that nobody
mapped is `NOT_PAID`, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from nepxy.engine.payout import Payout, Status


class FailureCode(StrEnum):
    """Stable for ever."""

    UNKNOWN_PAYEE = "UNKNOWN_PAYEE"
    """There is no such wallet: the number is wrong, or not registered."""
    PAYEE_CANNOT_RECEIVE = "PAYEE_CANNOT_RECEIVE"
    """There is a wallet, and it takes no money: locked, inactive, barred."""
    PAYEE_DETAILS_WRONG = "PAYEE_DETAILS_WRONG"
    """What was said of the person does not match the wallet."""
    OTHER_NETWORK = "OTHER_NETWORK"
    """The number belongs to another network than the provider's."""
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    """The payee or this payout is over a limit of the provider's: a smaller amount, or another day, may do."""
    AMOUNT_NOT_PAYABLE = "AMOUNT_NOT_PAYABLE"
    """Too little, too much, or not in the provider's steps."""
    CURRENCY_NOT_PAYABLE = "CURRENCY_NOT_PAYABLE"
    COUNTRY_NOT_SERVED = "COUNTRY_NOT_SERVED"
    EXPIRED = "EXPIRED"
    """Its time was over before the provider took it."""
    NOT_PAID = "NOT_PAID"
    """For another reason: `status_reason` holds the provider's own code."""


def failure_code(payout: Payout, failures: Mapping[str, FailureCode]) -> FailureCode | None:
    """Why it was not paid; None where it is not `FAILED`.

    Args:
        payout: as last committed.
        failures: by the provider's reason, from its capabilities.
    """
    if payout.status is not Status.FAILED:
        return None
    if payout.status_reason == FailureCode.EXPIRED:
        return FailureCode.EXPIRED
    return failures.get(payout.status_reason, FailureCode.NOT_PAID)
