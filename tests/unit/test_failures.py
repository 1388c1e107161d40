"""What a client is told of a payout that was not paid: one of a few words, whatever the provider calls it."""

from __future__ import annotations

import pytest

from nepxy.engine.capabilities import Capabilities
from nepxy.engine.failures import FailureCode, failure_code
from nepxy.engine.payout import Status
from nepxy.providers import momo, moov_soap, qosic, thunes
from nepxy.providers.generic_json import FAILURES as GENERIC
from tests.factories import NOW, a_payout
from tests.simulation.contracts import contracts

UNKNOWN, CANNOT = FailureCode.UNKNOWN_PAYEE, FailureCode.PAYEE_CANNOT_RECEIVE
LIMIT, AMOUNT = FailureCode.LIMIT_EXCEEDED, FailureCode.AMOUNT_NOT_PAYABLE


@pytest.mark.parametrize(
    ("failures", "reason", "code"),
    [
        (momo.CAPABILITIES.failures, "PAYEE_NOT_FOUND", UNKNOWN),
        (momo.CAPABILITIES.failures, "PAYEE_LIMIT_REACHED", LIMIT),
        (momo.CAPABILITIES.failures, "APPROVAL_REJECTED", FailureCode.NOT_PAID),
        (thunes.CAPABILITIES.failures, "ACCOUNT_INVALID", UNKNOWN),
        (thunes.CAPABILITIES.failures, "DECLINED_INVALID_BENEFICIARY", UNKNOWN),
        (thunes.CAPABILITIES.failures, "REJECTED_LIMIT_EXCEEDED", LIMIT),
        (thunes.CAPABILITIES.failures, "AMOUNT_ABOVE_MAXIMUM", AMOUNT),
        (thunes.CAPABILITIES.failures, "REJECTED_COMPLIANCE_REASON", FailureCode.NOT_PAID),
        (moov_soap.FAILURES, "MOOV_555", UNKNOWN),
        (moov_soap.FAILURES, "MOOV_7", CANNOT),
        (moov_soap.FAILURES, "MOOV_17", LIMIT),
        (moov_soap.FAILURES, "MOOV_11", AMOUNT),
        (qosic.FAILURES, "OTHER_NETWORK", FailureCode.OTHER_NETWORK),
        (qosic.FAILURES, "RECEIVER_LIMIT", LIMIT),
        (GENERIC, "PAYEE_NOT_ELIGIBLE", CANNOT),
        (GENERIC, "THEIR_OWN_CODE", FailureCode.NOT_PAID),
        (GENERIC, "EXPIRED", FailureCode.EXPIRED),
    ],
)
def test_a_providers_reason_becomes_a_word_for_people(
    failures: dict[str, FailureCode], reason: str, code: str
) -> None:
    payout = a_payout(status=Status.FAILED, status_reason=reason, settled_at=NOW, last_error="not paid")
    assert failure_code(payout, failures) == code


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.FAILED])
def test_what_has_not_failed_has_no_such_word(status: Status) -> None:
    settled = {"settled_at": NOW} if status.is_final else {}
    payout = a_payout(status=status, status_reason="PAYEE_NOT_FOUND", **settled)
    assert failure_code(payout, momo.CAPABILITIES.failures) is None


def test_every_real_contract_says_what_a_client_is_told_and_none_calls_a_doubt_a_failure() -> None:
    for each in contracts().values():
        for contract in each:
            failures = contract.capabilities.failures
            assert failures, contract.label
            assert (
                not {"IN_DOUBT", "INSUFFICIENT_FLOAT", "NOT_ENOUGH_FUNDS", "INSUFFICIENT_BALANCE"}
                & failures.keys()
            )
    assert Capabilities().failures == {}
