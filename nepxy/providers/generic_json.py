"""The generic JSON profile of a wallet (profile A of the provider page, 5.1 [N]): TMONEY's, and later FLOOZ's.

Neither operator publishes its API, so the safe reading holds wherever the page says unknown [U]: a repeated
reference may pay again, so nothing is ever resent by itself; a look-up by our own reference counts only where
it finds something. `external_id` carries our submission reference; `amount_cents` carries our integer as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

from nepxy.config.masking import mask_text
from nepxy.config.providers import WalletSettings
from nepxy.config.secret import Secret
from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, ReportedTerms, StatusReport
from nepxy.engine.payout import Payout, ProviderRef
from nepxy.errors import WebhookRefused
from nepxy.providers.contract import Notice, SendGuard
from nepxy.providers.wire import (
    Answered,
    ProviderHttp,
    failed_read,
    failed_submit,
    unmapped_read,
    unmapped_submit,
)

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
PROBLEM_KEYS: Final = ("code", "error", "reason")

REFERENCE_CHARACTERS_MAX: Final = 200
WORD_BYTES_MAX: Final = 64
NO_AMOUNT_OF_OURS: Final = -1
"""Differs from every amount that we can have sent, so that a person looks."""

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
        if not isinstance(result, Answered):
            return failed_submit(result, call, self.settings.api_key)
        return _read_submit(result, payout, call, self.settings.api_key)

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
        report, document = await self._status(str(payout.provider_ref))
        named = None if document is None else _first(document, ("external_id",))
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
        word = _first(fields, STATUS_KEYS)
        # Unreadable ones match nothing, and PostgreSQL would refuse them: as good as none.
        provider_ref = _readable(_first(fields, WEBHOOK_REF_KEYS))
        our_ref = _readable(_first(fields, OUR_REF_KEYS))
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


def _read_submit(result: Answered, payout: Payout, call: str, key: Secret) -> Outcome:
    """Map an answered submit. 2xx with JSON accepts, 400 and 422 with JSON refuse; the rest is no matter of ours."""
    document = result.json_object()
    if document is None or result.status not in (200, 201, 202, 400, 422):
        return unmapped_submit(result, call, key)

    def outcome(kind: OutcomeClass, reason: str, rule: str) -> Outcome:
        return Outcome(
            kind=kind,
            reason=reason,
            rule=rule,
            call=call,
            answer=result.masked(key),
            retry_after_s=result.retry_after_s,
        )

    fields = _unwrapped(document)
    named = _first(fields, ("external_id",))
    if named is not None and named != payout.submission_ref:
        rule = "an answer that names another reference says nothing of ours"
        return outcome(OutcomeClass.UNKNOWN, "OTHER_REFERENCE", rule)
    if result.status in (400, 422):
        reason = _problem(document, key, otherwise=_problem(fields, key, otherwise=f"HTTP_{result.status}"))
        return outcome(OutcomeClass.REJECTED, reason, "400/422 with JSON is a refusal")
    reference = _first(fields, SUBMIT_REF_KEYS)
    if reference is not None and _readable(reference) is None:
        return outcome(
            OutcomeClass.UNKNOWN, "REFERENCE_UNREADABLE", "2xx with a reference that cannot be used"
        )
    if WORDS.get((_first(fields, STATUS_KEYS) or "").upper()) is Finding.UNPAID and reference is None:
        return outcome(OutcomeClass.UNKNOWN, "ACCEPTED_YET_FAILED", "2xx that says failed")
    # The profile falls back on our own reference where the provider names none.
    return replace(
        outcome(OutcomeClass.ACCEPTED, "ACCEPTED", "2xx with JSON is accepted"),
        provider_ref=ProviderRef(reference or payout.submission_ref),
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
    fields = {} if document is None else _unwrapped(document)
    word = _first(fields, STATUS_KEYS)
    if result.status != 200 or word is None:
        return unmapped_read(result, call, key), None
    reference = _readable(_first(fields, SUBMIT_REF_KEYS))
    return _report(fields, word, key, call=call, answer=result.masked(key), provider_ref=reference), fields


def _report(
    fields: Mapping[str, object], word: str, key: Secret, *, call: str, answer: str, provider_ref: str | None
) -> StatusReport:
    finding = WORDS.get(word.strip().upper(), Finding.IN_FLIGHT)
    shown = _code(word, key)
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
    currency, msisdn = _first(fields, ("currency",)), _first(fields, ("msisdn",))
    digits = re.sub(r"[ +().-]", "", msisdn or "")
    return ReportedTerms(
        amount=_amount(fields.get("amount_cents")),
        currency=None if currency is None else mask_text(currency, WORD_BYTES_MAX).upper(),
        # A number that they mask cannot be compared.
        phone_e164=f"+{digits}" if digits.isascii() and digits.isdigit() else None,
    )


def _amount(value: object) -> int | None:
    """The amount in minor units; `NO_AMOUNT_OF_OURS` for one that is reported and is no whole number."""
    match value:
        case None | bool() | "":
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str() if re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
            return int(value)
        case _:
            return NO_AMOUNT_OF_OURS


def _unwrapped(document: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = document.get("data")
    return inner if isinstance(inner, dict) else document


def _problem(fields: Mapping[str, object], key: Secret, *, otherwise: str) -> str:
    text = _first(fields, PROBLEM_KEYS)
    return _code(text, key) if text is not None else otherwise


def _code(text: str, key: Secret) -> str:
    """The provider's words as a code of one line: they may hold a number or a secret, and are stored and shown."""
    masked = mask_text(text.strip(), WORD_BYTES_MAX, secrets=(key,))
    return re.sub(r"[\s\x00-\x1f\x7f]+", "_", masked).upper()


def _first(fields: Mapping[str, object], keys: tuple[str, ...]) -> str | None:
    """The first non-empty value among these keys, as text."""
    for key in keys:
        value = fields.get(key)
        if isinstance(value, bool) or value is None:
            continue
        text = str(value).strip() if isinstance(value, (str, int)) else ""
        if text:
            return text
    return None


def _readable(reference: str | None) -> str | None:
    """A reference that can be stored whole and asked for; None for any other.

    Dots alone would lead to another path than the one of the status template.
    """
    if reference is None or len(reference) > REFERENCE_CHARACTERS_MAX or not reference.isprintable():
        return None
    return reference if reference.strip(".") else None
