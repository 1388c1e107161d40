"""The generic JSON profile of a wallet (profile A of the provider page, 5.1 [N]), for TMONEY and FLOOZ.

Neither operator publishes its API, so the safe reading holds wherever the page says unknown [U]: a repeated
reference may pay again, so nothing is ever resent by itself unless the operator's paper says otherwise and it was
set so (5.6); a look-up by our own reference counts only where it finds something and names it; a refusal counts
only as JSON. `external_id` carries our submission reference; `amount_cents` carries our integer as it is [N].
402 is the sandbox's word for want of money and no contract's: only with its own code is it more than unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import quote, urlsplit

import orjson

from nepxy.config.masking import mask_text
from nepxy.config.providers import WalletSettings
from nepxy.config.secret import Secret
from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.failures import FailureCode
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, ReportedTerms, StatusReport
from nepxy.engine.payout import Payout, ProviderRef
from nepxy.errors import WebhookRefused
from nepxy.providers.contract import Notice, SendGuard
from nepxy.providers.wallet_fields import (
    INSUFFICIENT_FLOAT,
    WORD_BYTES_MAX,
    Heard,
    as_code,
    fingerprint,
    first_text,
    msisdn,
    readable,
    reported_number,
    shortfall_of,
    unwrapped,
    whole_amount,
)
from nepxy.providers.wire import (
    Answered,
    ProviderHttp,
    failed_read,
    failed_submit,
    unmapped_read,
    unmapped_submit,
)

SUBMIT_REF_KEYS: Final = ("provider_ref", "provider_tx_id", "id", "reference")
WEBHOOK_REF_KEYS: Final = ("provider_ref", "providerReference", "reference", "transaction_id", "id")
OUR_REF_KEYS: Final = (
    "external_ref",
    "externalReference",
    "external_id",
    "client_ref",
    "clientReference",
    "merchant_ref",
    "merchantReference",
)
STATUS_KEYS: Final = ("status", "state")
PROBLEM_KEYS: Final = ("code", "error", "reason")

WORDS: Final[Mapping[str, Finding]] = {
    **dict.fromkeys(("SUCCESS", "SUCCESSFUL", "CONFIRMED", "COMPLETED"), Finding.PAID),
    **dict.fromkeys(("FAILED", "REJECTED", "CANCELLED", "CANCELED"), Finding.UNPAID),
}
"""Anything else is IN_FLIGHT: an unrecognised word is never a failure."""
FAILURES: Final[Mapping[str, FailureCode]] = {
    **dict.fromkeys(("PAYEE_NOT_FOUND", "UNKNOWN_PAYEE", "PAYEE_UNKNOWN"), FailureCode.UNKNOWN_PAYEE),
    **dict.fromkeys(("PAYEE_NOT_ELIGIBLE", "PAYEE_BLOCKED"), FailureCode.PAYEE_CANNOT_RECEIVE),
    **dict.fromkeys(("LIMIT_EXCEEDED", "PAYEE_LIMIT_REACHED"), FailureCode.LIMIT_EXCEEDED),
    **dict.fromkeys(("CURRENCY_NOT_SUPPORTED", "INVALID_CURRENCY"), FailureCode.CURRENCY_NOT_PAYABLE),
}
"""Plain words only: which codes an operator sends is in its paper, and the code itself is kept."""


@dataclass(frozen=True)
class GenericJsonWallet:
    """An adapter over one account of the generic JSON profile."""

    name: str
    settings: WalletSettings
    http: ProviderHttp

    @cached_property
    def capabilities(self) -> Capabilities:
        """Looked up and polled by one template, if there is one; its webhooks are signed."""
        can_be_asked = bool(self.settings.status_url_template)
        return Capabilities(
            repeated_reference=RepeatedReference(self.settings.duplicate_reference),
            lookup_by_reference=can_be_asked,
            status_by_provider_ref=can_be_asked,
            webhooks=WebhookTrust.SIGNED,
            failures=FAILURES,
        )

    @property
    def account(self) -> str:
        """Mode, profile, host and path, and a fingerprint of the key; the key cannot be had back from it.

        And where states are asked for, if that is elsewhere: another host may know other payouts.
        """
        url, asked = urlsplit(self.settings.cashout_url), urlsplit(self.settings.status_url_template)
        key = fingerprint(self.settings.api_key.get_secret_value())
        elsewhere = asked.netloc and (asked.scheme, asked.netloc) != (url.scheme, url.netloc)
        status = f" asked:{asked.scheme}://{asked.netloc}" if elsewhere else ""
        return f"{self.settings.mode} generic-json {url.scheme}://{url.netloc}{url.path} key:{key}{status}"

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        """POST the cash-out; see `_read_submit` for what its answer means."""
        body = orjson.dumps(
            {
                "external_id": payout.submission_ref,
                "amount_cents": payout.amount,
                "currency": payout.currency,
                "msisdn": msisdn(payout, self.settings.msisdn_form_or("e164")),
            }
        )
        url = self.settings.cashout_url
        call = f"POST {urlsplit(url).path}"
        result = await self.http.call(
            "POST",
            url,
            headers=self._headers() | {"Content-Type": "application/json"},
            body=body,
            guard=guard,
        )
        if not isinstance(result, Answered):
            return failed_submit(result, call, self.settings.api_key)
        return _read_submit(Heard(result, call, (self.settings.api_key,)), payout, self.capabilities)

    async def look_up(self, payout: Payout) -> StatusReport:
        """GET the status by our own reference: only a positive answer that echoes it says anything."""
        report, document = await self._status(payout.submission_ref)
        echoed = document is not None and first_text(document, OUR_REF_KEYS) == payout.submission_ref
        if report.finding in (Finding.PAID, Finding.UNPAID, Finding.IN_FLIGHT) and not echoed:
            return StatusReport(
                finding=Finding.NO_ANSWER,
                reason="REFERENCE_NOT_ECHOED",
                call=report.call,
                answer=report.answer,
                rule="a look-up by our reference counts only where the answer names it",
            )
        return report

    async def poll(self, payout: Payout) -> StatusReport:
        """GET the status by the provider's reference."""
        report, document = await self._status(str(payout.provider_ref))
        named = None if document is None else first_text(document, ("external_id",))
        if named is not None and named != payout.submission_ref:
            # Only under the name that we gave it: what the other aliases hold is not documented [U].
            return StatusReport(
                finding=Finding.NO_ANSWER,
                reason="OTHER_REFERENCE",
                call=report.call,
                answer=report.answer,
                rule="an answer that names another reference says nothing of ours",
            )
        return report

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        """Read a webhook by the aliases of the provider page, section 8.

        Raises:
            WebhookRefused: `MISSING_STATUS` or `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
        """
        inner = document.get("data")
        fields = inner if isinstance(inner, dict) else document
        word = first_text(fields, STATUS_KEYS)
        # Unreadable ones match nothing, and PostgreSQL would refuse them: as good as none.
        provider_ref = readable(first_text(fields, WEBHOOK_REF_KEYS))
        our_ref = readable(first_text(fields, OUR_REF_KEYS))
        if word is None:
            raise WebhookRefused("MISSING_STATUS", self.name)
        if provider_ref is None and our_ref is None:
            raise WebhookRefused("MISSING_PROVIDER_REF_OR_EXTERNAL_REF", self.name)
        key = self.settings.api_key
        report = _report(fields, word, key, call="webhook", answer="", provider_ref=provider_ref)
        shown = mask_text(word, WORD_BYTES_MAX, secrets=(key,))
        return Notice(provider_ref=provider_ref, our_ref=our_ref, status_word=shown, report=report)

    async def close(self) -> None:
        """Close its connections."""
        await self.http.close()

    async def _status(self, reference: str) -> tuple[StatusReport, Mapping[str, object] | None]:
        if not self.settings.status_url_template:
            return StatusReport(
                finding=Finding.NO_ANSWER, reason="NO_STATUS_URL", rule="no status URL is set"
            ), None
        url = self.settings.status_url_template.replace("{provider_ref}", quote(reference, safe=""))
        call = f"GET {urlsplit(self.settings.status_url_template).path}"
        result = await self.http.call("GET", url, headers=self._headers())
        if not isinstance(result, Answered):
            return failed_read(result, call, self.settings.api_key), None
        return _read_status(result, call, self.settings.api_key)

    def _headers(self) -> dict[str, str]:
        key = self.settings.api_key.get_secret_value()
        match self.settings.auth_mode:
            case "bearer":
                return {"Authorization": f"Bearer {key}"}
            case "x-api-key":
                return {"X-Api-Key": key}
            case _:
                return {}


def _read_submit(heard: Heard, payout: Payout, capabilities: Capabilities) -> Outcome:
    """Map an answered submit. 2xx with JSON accepts, 400 and 422 with JSON refuse; the rest is no matter of ours."""
    result, key = heard.result, heard.secrets[0]
    document = result.json_object()
    if document is None or result.status not in (200, 201, 202, 400, 402, 403, 409, 422):
        return unmapped_submit(result, heard.call, key)
    fields = unwrapped(document)
    named = first_text(fields, ("external_id",))
    if named is not None and named != payout.submission_ref:
        rule = "an answer that names another reference says nothing of ours"
        return heard.outcome(OutcomeClass.UNKNOWN, "OTHER_REFERENCE", rule)
    reason = _problem(document, key, otherwise=_problem(fields, key, otherwise=f"HTTP_{result.status}"))
    match result.status:
        case 400 | 422:
            return heard.outcome(OutcomeClass.REJECTED, reason, "400/422 with JSON is a refusal")
        case 402 | 403 if reason == INSUFFICIENT_FLOAT:
            rule = "402/403 INSUFFICIENT_FLOAT"
            short = shortfall_of(payout)
            return heard.outcome(OutcomeClass.BLOCKED, INSUFFICIENT_FLOAT, rule, shortfall=short)
        case 409 if capabilities.resend_allowed:
            rule = "409, from a provider that is set to refuse a repeated reference"
            return heard.outcome(OutcomeClass.UNKNOWN, reason, rule, reference_was_used=True)
        case 402 | 403 | 409:
            return unmapped_submit(result, heard.call, key)
    reference = first_text(fields, SUBMIT_REF_KEYS)
    if reference is not None and readable(reference) is None:
        rule = "2xx with a reference that cannot be used"
        return heard.outcome(OutcomeClass.UNKNOWN, "REFERENCE_UNREADABLE", rule)
    if WORDS.get((first_text(fields, STATUS_KEYS) or "").upper()) is Finding.UNPAID and reference is None:
        return heard.outcome(OutcomeClass.UNKNOWN, "ACCEPTED_YET_FAILED", "2xx that says failed")
    return heard.outcome(
        OutcomeClass.ACCEPTED,
        "ACCEPTED",
        "2xx with JSON is accepted",
        # The profile falls back on our own reference where the provider names none.
        provider_ref=reference or payout.submission_ref,
        terms=_terms(fields),
    )


def _read_status(
    result: Answered, call: str, key: Secret
) -> tuple[StatusReport, Mapping[str, object] | None]:
    if result.status == 404:
        answer = result.masked(key)
        return StatusReport(
            finding=Finding.ABSENT, reason="HTTP_404", call=call, answer=answer, rule="404"
        ), None
    document = result.json_object()
    fields = {} if document is None else unwrapped(document)
    word = first_text(fields, STATUS_KEYS)
    if result.status != 200 or word is None:
        return unmapped_read(result, call, key), None
    reference = readable(first_text(fields, SUBMIT_REF_KEYS))
    return _report(fields, word, key, call=call, answer=result.masked(key), provider_ref=reference), fields


def _report(
    fields: Mapping[str, object], word: str, key: Secret, *, call: str, answer: str, provider_ref: str | None
) -> StatusReport:
    finding = WORDS.get(word.strip().upper(), Finding.IN_FLIGHT)
    shown = as_code(word, key)
    return StatusReport(
        finding=finding,
        reason=_problem(fields, key, otherwise=shown) if finding is Finding.UNPAID else shown,
        provider_ref=ProviderRef(provider_ref) if provider_ref else None,
        terms=_terms(fields),
        call=call,
        answer=answer,
        rule=f"status word {shown}",
    )


def _terms(fields: Mapping[str, object]) -> ReportedTerms:
    currency = first_text(fields, ("currency",))
    return ReportedTerms(
        amount=whole_amount(fields.get("amount_cents")),
        currency=None if currency is None else mask_text(currency, WORD_BYTES_MAX).upper(),
        phone_e164=reported_number(first_text(fields, ("msisdn",))),
    )


def _problem(fields: Mapping[str, object], key: Secret, *, otherwise: str) -> str:
    text = first_text(fields, PROBLEM_KEYS)
    return as_code(text, key) if text is not None else otherwise
