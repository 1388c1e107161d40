"""The generic JSON profile of a wallet (profile A of the provider page, 5.1 [N]): TMONEY's, and later FLOOZ's.

Neither operator publishes its API, so the safe reading holds wherever the page says unknown [U]: a repeated
reference may pay again, so nothing is ever resent by itself; a look-up by our own reference counts only where
it finds something. `external_id` carries our submission reference; `amount_cents` carries our integer as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

from nepxy.config.providers import WalletSettings
from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, ReportedTerms, StatusReport
from nepxy.engine.payout import Payout, ProviderRef
from nepxy.errors import WebhookRefused
from nepxy.providers.contract import Notice, SendGuard
from nepxy.providers.wire import Answered, ProviderHttp, failed_read, failed_submit

CAPABILITIES: Final = Capabilities(
    repeated_reference=RepeatedReference.UNKNOWN,
    lookup_by_reference=True,
    status_by_provider_ref=True,
    webhooks=WebhookTrust.SIGNED,
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

WORDS: Final[Mapping[str, Finding]] = {
    **dict.fromkeys(("SUCCESS", "SUCCESSFUL", "CONFIRMED", "COMPLETED"), Finding.PAID),
    **dict.fromkeys(("FAILED", "REJECTED", "CANCELLED", "CANCELED"), Finding.UNPAID),
}
"""Anything else is IN_FLIGHT: an unrecognised word is never a failure."""


@dataclass(frozen=True, slots=True)
class GenericJsonWallet:
    """An adapter over one account of the generic JSON profile."""

    name: str
    settings: WalletSettings
    http: ProviderHttp
    capabilities: Capabilities = CAPABILITIES

    @property
    def account(self) -> str:
        """Mode, profile, host and path, and a fingerprint of the key; the key cannot be had back from it."""
        url = urlsplit(self.settings.cashout_url)
        key = hashlib.sha256(self.settings.api_key.get_secret_value().encode()).hexdigest()[:12]
        return f"{self.settings.mode} generic-json {url.scheme}://{url.netloc}{url.path} key:{key}"

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        """POST the cash-out; see `_read_submit` for what its answer means."""
        body = orjson.dumps(
            {
                "external_id": payout.submission_ref,
                "amount_cents": payout.amount,
                "currency": payout.currency,
                "msisdn": payout.phone_e164,
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
        return (
            _read_submit(result, payout, call)
            if isinstance(result, Answered)
            else failed_submit(result, call)
        )

    async def look_up(self, payout: Payout) -> StatusReport:
        """GET the status by our own reference: only a positive answer that echoes it says anything."""
        report, document = await self._status(payout.submission_ref)
        echoed = document is not None and _first(document, OUR_REF_KEYS) == payout.submission_ref
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
        report, _ = await self._status(str(payout.provider_ref))
        return report

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        """Read a webhook by the aliases of the provider page, section 8.

        Raises:
            WebhookRefused: `MISSING_STATUS` or `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
        """
        inner = document.get("data")
        fields = inner if isinstance(inner, dict) else document
        word = _first(fields, STATUS_KEYS)
        provider_ref, our_ref = _first(fields, WEBHOOK_REF_KEYS), _first(fields, OUR_REF_KEYS)
        if word is None:
            raise WebhookRefused("MISSING_STATUS", self.name)
        if provider_ref is None and our_ref is None:
            raise WebhookRefused("MISSING_PROVIDER_REF_OR_EXTERNAL_REF", self.name)
        report = _report(fields, word, call="webhook", answer="", provider_ref=provider_ref)
        return Notice(provider_ref=provider_ref, our_ref=our_ref, status_word=word, report=report)

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
            return failed_read(result, call), None
        return _read_status(result, call)

    def _headers(self) -> dict[str, str]:
        key = self.settings.api_key.get_secret_value()
        match self.settings.auth_mode:
            case "bearer":
                return {"Authorization": f"Bearer {key}"}
            case "x-api-key":
                return {"X-Api-Key": key}
            case _:
                return {}


def _read_submit(result: Answered, payout: Payout, call: str) -> Outcome:
    """Map an answered submit. 400 and 422 with JSON refuse, 401 and 403 block; unmapped is UNKNOWN."""

    def outcome(kind: OutcomeClass, reason: str, rule: str) -> Outcome:
        return Outcome(
            kind=kind,
            reason=reason,
            rule=rule,
            call=call,
            answer=result.masked(),
            retry_after_s=result.retry_after_s,
        )

    document = result.json_object()
    if result.status in (200, 201, 202) and document is not None:
        fields = _unwrapped(document)
        reference = _first(fields, SUBMIT_REF_KEYS)
        if WORDS.get((_first(fields, STATUS_KEYS) or "").upper()) is Finding.UNPAID and reference is None:
            return outcome(OutcomeClass.UNKNOWN, "ACCEPTED_YET_FAILED", "2xx that says failed")
        # The profile falls back on our own reference where the provider names none.
        return replace(
            outcome(OutcomeClass.ACCEPTED, "ACCEPTED", "2xx with JSON is accepted"),
            provider_ref=ProviderRef(reference or payout.submission_ref),
            terms=_terms(fields),
        )
    if result.status in (400, 422) and document is not None:
        return outcome(OutcomeClass.REJECTED, _problem(document, result), "400/422 with JSON is a refusal")
    if result.status in (401, 403):
        return outcome(OutcomeClass.BLOCKED, f"HTTP_{result.status}", "401/403: an operator must act")
    if result.status == 429:
        return outcome(OutcomeClass.THROTTLED, "HTTP_429", "429, not proven to precede processing")
    return outcome(OutcomeClass.UNKNOWN, f"HTTP_{result.status}", "unmapped is unknown")


def _read_status(result: Answered, call: str) -> tuple[StatusReport, Mapping[str, object] | None]:
    document = result.json_object()
    answer = result.masked()
    if result.status == 404:
        return StatusReport(
            finding=Finding.ABSENT, reason="HTTP_404", call=call, answer=answer, rule="404"
        ), document
    if result.status != 200 or document is None:
        report = StatusReport(
            finding=Finding.NO_ANSWER,
            reason=f"HTTP_{result.status}",
            retry_after_s=result.retry_after_s,
            call=call,
            answer=answer,
            rule="only 200 with JSON says something",
        )
        return report, None
    fields = _unwrapped(document)
    word = _first(fields, STATUS_KEYS) or ""
    reference = _first(fields, SUBMIT_REF_KEYS)
    return _report(fields, word, call=call, answer=answer, provider_ref=reference), fields


def _report(
    fields: Mapping[str, object], word: str, *, call: str, answer: str, provider_ref: str | None
) -> StatusReport:
    finding = WORDS.get(word.strip().upper(), Finding.IN_FLIGHT)
    reason = word.strip().upper()[:64] or "NO_WORD"
    if finding is Finding.UNPAID:
        reason = str(fields.get("code") or fields.get("error") or reason)[:64]
    return StatusReport(
        finding=finding,
        reason=reason,
        provider_ref=ProviderRef(provider_ref) if provider_ref else None,
        terms=_terms(fields),
        call=call,
        answer=answer,
        rule=f"status word {word.strip().upper()[:32]}",
    )


def _terms(fields: Mapping[str, object]) -> ReportedTerms:
    amount, currency, msisdn = fields.get("amount_cents"), fields.get("currency"), fields.get("msisdn")
    return ReportedTerms(
        amount=amount if isinstance(amount, int) and not isinstance(amount, bool) else None,
        currency=currency.upper() if isinstance(currency, str) and currency else None,
        phone_e164="+" + msisdn.lstrip("+")
        if isinstance(msisdn, str) and msisdn.lstrip("+").isdigit()
        else None,
    )


def _unwrapped(document: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = document.get("data")
    return inner if isinstance(inner, dict) else document


def _problem(document: Mapping[str, Any], result: Answered) -> str:
    for key in ("code", "error", "reason"):
        value = document.get(key)
        if isinstance(value, str) and value:
            return value.strip().upper().replace(" ", "_")[:64]
    return f"HTTP_{result.status}"


def _first(fields: Mapping[str, object], keys: tuple[str, ...]) -> str | None:
    """The first non-empty value among these keys, as text."""
    for key in keys:
        value = fields.get(key)
        if isinstance(value, bool) or value is None:
            continue
        text = str(value).strip() if isinstance(value, (str, int)) else ""
        if text:
            return text[:200]
    return None
