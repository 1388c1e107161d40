"""The profile of PayGate Global, an aggregator of Togo for both wallets (profile C of the provider page, 5.3).

What is unknown, and the safe reading that was chosen:

- What a repeated `reference` gets on disburse is not stated [U]: nothing is resent by itself. Code 6 (duplicate) is
  documented for payments only, so it proves that the reference was used, and nothing else.
- Status codes 4 and 6 (expired, cancelled) are documented for pay-ins and inferred for payouts [I]. A submit's codes 2,
  4 and 6 mean something else (bad token, bad parameters, duplicate), and a status call that fails might use those: a
  status counts only where the answer names the transaction that was asked for.
- How an unknown identifier is answered is [U]: 404 with JSON is "absent", which is never proof; all else is no answer.
- Callbacks have no status and no signature [D]: they are hints, and the status call decides. They are read as JSON; how
  they are encoded is [U]. An account has one callback URL, so those of its other wallet match nothing, and are polled.
- PayGate has no sandbox and pays in francs in Togo only [D]; the form of `phone_number` is [I] `+228…`, and a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import orjson

from nepxy.config.providers import WalletSettings
from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, ReportedTerms, StatusReport
from nepxy.engine.payout import Payout
from nepxy.errors import WebhookRefused
from nepxy.providers.contract import Balance, Notice, SendGuard
from nepxy.providers.wallet_fields import (
    NOT_SERVED,
    Heard,
    fingerprint,
    first_text,
    msisdn,
    not_served,
    readable,
    reported_number,
    whole_amount,
)
from nepxy.providers.wire import (
    Answered,
    ProviderHttp,
    WireResult,
    failed_read,
    failed_submit,
    unmapped_read,
    unmapped_submit,
)

DISBURSE: Final = "/api/v1/disburse"
STATUS: Final = "/api/v1/status"
STATUS_BY_OUR_REF: Final = "/api/v2/status"
CHECK_BALANCE: Final = "/api/v1/check-balance"

CURRENCY: Final = "XOF"
COUNTRY_CODE: Final = "+228"
REASON: Final = "Payout"
"""Their `reason`, a text for people; nothing of the client's is told to the aggregator."""

ACCEPTED_STATUS: Final = "200"
"""In the body; 0 is not it."""
SUBMIT_CODES: Final[Mapping[str, tuple[OutcomeClass, str]]] = {
    "2": (OutcomeClass.BLOCKED, "BAD_TOKEN"),
    "4": (OutcomeClass.REJECTED, "BAD_PARAMETERS"),
    "6": (OutcomeClass.UNKNOWN, "DUPLICATE_IDENTIFIER"),
}
STATUS_CODES: Final[Mapping[str, tuple[Finding, str]]] = {
    "0": (Finding.PAID, "PAID"),
    "2": (Finding.IN_FLIGHT, "IN_PROGRESS"),
    "4": (Finding.UNPAID, "EXPIRED"),
    "6": (Finding.UNPAID, "CANCELLED"),
}
"""Any other is in flight: an unrecognised code is never a failure."""


@dataclass(frozen=True)
class PayGateWallet:
    """An adapter over one PayGate account, for one of the two wallets."""

    name: str
    settings: WalletSettings
    http: ProviderHttp

    @cached_property
    def capabilities(self) -> Capabilities:
        """Asked by either reference; its callbacks are hints; one float for each wallet."""
        return Capabilities(
            repeated_reference=RepeatedReference(self.settings.duplicate_reference),
            lookup_by_reference=True,
            status_by_provider_ref=True,
            webhooks=WebhookTrust.HINT,
            balance=True,
            failures=NOT_SERVED,
        )

    @property
    def account(self) -> str:
        """Mode, profile, base URL and a fingerprint of the token, which names the account."""
        token = fingerprint(self.settings.paygate_auth_token.get_secret_value())
        return f"{self.settings.mode} paygate {self.settings.base_url} token:{token}"

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        """POST the disbursement; see `_read_submit`."""
        if payout.currency != CURRENCY:
            return not_served("CURRENCY_NOT_SERVED", "PayGate pays in XOF only")
        if not payout.phone_e164.startswith(COUNTRY_CODE):
            return not_served("COUNTRY_NOT_SERVED", "PayGate pays in Togo only")
        request = {
            "phone_number": msisdn(payout, self.settings.msisdn_form_or("e164")),
            "amount": payout.amount,
            "reason": REASON,
            "network": self.name,
            "reference": payout.submission_ref,
        }
        result = await self._post(DISBURSE, request, guard)
        call = f"POST {DISBURSE}"
        if not isinstance(result, Answered):
            return failed_submit(result, call, self.settings.paygate_auth_token)
        return _read_submit(Heard(result, call, (self.settings.paygate_auth_token,)))

    async def look_up(self, payout: Payout) -> StatusReport:
        """Ask by our reference."""
        return await self._status(STATUS_BY_OUR_REF, {"identifier": payout.submission_ref})

    async def poll(self, payout: Payout) -> StatusReport:
        """Ask by PayGate's."""
        return await self._status(STATUS, {"tx_reference": str(payout.provider_ref)})

    async def balance(self, currency: str) -> Balance | None:
        """This wallet's float; PayGate holds one for each."""
        if currency != CURRENCY:
            return None
        result = await self._post(CHECK_BALANCE, {})
        fields = result.json_object() if isinstance(result, Answered) and result.status == 200 else None
        amount = None if fields is None else whole_amount(fields.get(self.name.lower()))
        return None if amount is None or amount < 0 else Balance(amount=amount, currency=CURRENCY)

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        """Read a callback: it names a transaction, and says nothing of its state.

        Raises:
            WebhookRefused: `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
        """
        provider_ref = readable(first_text(document, ("tx_reference",)))
        our_ref = readable(first_text(document, ("identifier",)))
        if provider_ref is None and our_ref is None:
            raise WebhookRefused("MISSING_PROVIDER_REF_OR_EXTERNAL_REF", self.name)
        report = StatusReport(
            finding=Finding.NO_ANSWER,
            reason="CALLBACK_WITHOUT_STATUS",
            call="webhook",
            rule="a callback of PayGate says that something happened, not what",
        )
        return Notice(provider_ref=provider_ref, our_ref=our_ref, status_word="", report=report)

    async def close(self) -> None:
        """Close its connections."""
        await self.http.close()

    async def _status(self, path: str, question: Mapping[str, str]) -> StatusReport:
        result = await self._post(path, question)
        call = f"POST {path}"
        if not isinstance(result, Answered):
            return failed_read(result, call, self.settings.paygate_auth_token)
        return _read_status(Heard(result, call, (self.settings.paygate_auth_token,)), question)

    async def _post(
        self, path: str, request: Mapping[str, object], guard: SendGuard | None = None
    ) -> WireResult:
        token = self.settings.paygate_auth_token.get_secret_value()
        return await self.http.call(
            "POST",
            self.settings.base_url.rstrip("/") + path,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            body=orjson.dumps({"auth_token": token, **request}),
            guard=guard,
        )


def _read_submit(heard: Heard) -> Outcome:
    """Map an answered disburse: its own code, in the body, decides; it counts in a 2xx or 4xx that is PayGate's."""
    result = heard.result
    fields = result.json_object()
    status = None if fields is None else first_text(fields, ("status",))
    ok = 200 <= result.status < 300
    if fields is None or not (ok or result.status in (400, 409, 422)):
        return unmapped_submit(result, heard.call, *heard.secrets)
    if ok and status == ACCEPTED_STATUS:
        reference = first_text(fields, ("tx_reference",))
        if reference is not None and readable(reference) is None:
            rule = "accepted with a reference that cannot be used"
            return heard.outcome(OutcomeClass.UNKNOWN, "REFERENCE_UNREADABLE", rule)
        rule = "status 200 in the body is accepted"
        return heard.outcome(OutcomeClass.ACCEPTED, "ACCEPTED", rule, provider_ref=reference)
    if status is not None and status in SUBMIT_CODES and first_text(fields, ("tx_reference",)) is None:
        kind, reason = SUBMIT_CODES[status]
        used = reason == "DUPLICATE_IDENTIFIER"
        return heard.outcome(kind, reason, f"submit code {status}", reference_was_used=used)
    problem = first_text(fields, ("error_code", "status"))
    reason = f"PAYGATE_{heard.code(problem)}" if problem is not None else "ANSWER_UNREADABLE"
    return heard.outcome(OutcomeClass.UNKNOWN, reason, "a code that nobody mapped is unknown")


def _read_status(heard: Heard, question: Mapping[str, str]) -> StatusReport:
    result = heard.result
    fields = result.json_object()
    if fields is not None and result.status == 404:
        return heard.report(Finding.ABSENT, "HTTP_404", "404 with JSON")
    status = None if fields is None else first_text(fields, ("status",))
    if fields is None or result.status != 200 or status is None:
        return unmapped_read(result, heard.call, *heard.secrets)
    # Only what was asked by: whether `identifier` repeats a payout's `reference` in every answer is not documented [U].
    if any(first_text(fields, (key,)) not in (None, asked) for key, asked in question.items()):
        rule = "an answer that names another transaction says nothing of ours"
        return heard.report(Finding.NO_ANSWER, "OTHER_REFERENCE", rule)
    reference = readable(first_text(fields, ("tx_reference",)))
    if reference is None:
        rule = "a status counts only where the answer names a transaction"
        return heard.report(Finding.NO_ANSWER, "REFERENCE_NOT_ECHOED", rule)
    finding, word = STATUS_CODES.get(status, (Finding.IN_FLIGHT, f"PAYGATE_{heard.code(status)}"))
    return heard.report(
        finding,
        word,
        f"status code {heard.code(status)}",
        provider_ref=reference,
        terms=ReportedTerms(
            amount=whole_amount(fields.get("amount")),
            phone_e164=reported_number(first_text(fields, ("phone_number",))),
        ),
    )
