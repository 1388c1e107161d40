"""What comes unasked from MTN: its unsigned callbacks, and signed webhooks that deployments have (section 8 [N])."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nepxy.config.masking import mask_text
from nepxy.engine.outcomes import Finding, StatusReport
from nepxy.engine.payout import ProviderRef, SubmissionRef
from nepxy.errors import WebhookRefused
from nepxy.providers import momo_codes as codes
from nepxy.providers.contract import Notice

REFERENCE_CHARACTERS_MAX: Final = 200

PROVIDER_REF_KEYS: Final = ("provider_ref", "providerReference", "reference", "transaction_id", "id")
OUR_REF_KEYS: Final = (
    "externalId",  # MTN's own; the rest are section 8's
    "external_ref",
    "externalReference",
    "external_id",
    "client_ref",
    "clientReference",
    "merchant_ref",
    "merchantReference",
)
STATUS_KEYS: Final = ("status", "state")


def read(document: Mapping[str, object], provider: str) -> Notice:
    """Read a parsed body. An amount in it is not read: whose unit it would be in is not known.

    Raises:
        WebhookRefused: `MISSING_STATUS` or `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
    """
    inner = document.get("data")
    fields = inner if isinstance(inner, Mapping) else document
    provider_ref = _readable(_first(fields, PROVIDER_REF_KEYS))
    our_ref = _readable(_first(fields, OUR_REF_KEYS))
    word = codes.code_text(_first(fields, STATUS_KEYS))
    if word is None:
        raise WebhookRefused("MISSING_STATUS", provider)
    if provider_ref is None and our_ref is None:
        raise WebhookRefused("MISSING_PROVIDER_REF_OR_EXTERNAL_REF", provider)
    return Notice(
        provider_ref=provider_ref,
        our_ref=our_ref,
        status_word=_shown(_first(fields, STATUS_KEYS) or ""),
        report=_report(fields, word, provider_ref),
    )


def hint(reference: SubmissionRef, document: Mapping[str, object] | None) -> Notice:
    """A call of the callback URL of this reference: what its body says, and whom it names, decides nothing."""
    word = _first(document or {}, STATUS_KEYS) or ""
    return Notice(
        provider_ref=None,
        our_ref=reference,
        status_word=_shown(word),
        report=StatusReport(
            finding=Finding.NO_ANSWER,
            reason="CALLBACK",
            call="callback",
            rule="an unsigned callback makes us ask, and says nothing itself",
        ),
    )


def _report(fields: Mapping[str, object], word: str, provider_ref: str | None) -> StatusReport:
    finding = codes.WEBHOOK_WORDS.get(word, Finding.IN_FLIGHT)
    why = codes.reason_of(fields) if finding is Finding.UNPAID else None
    return StatusReport(
        finding=finding,
        reason=why or word,
        provider_ref=ProviderRef(provider_ref) if provider_ref else None,
        # Asked again before anything is tried again, because a webhook may be of yesterday.
        retry_with_new_reference=why in codes.OURS_TO_MEND,
        call="webhook",
        rule=f"status word {word}",
    )


def _shown(word: str) -> str:
    return mask_text(word, codes.WORD_BYTES_MAX)


def _first(fields: Mapping[str, object], keys: tuple[str, ...]) -> str | None:
    """The first non-empty value among these keys, as text."""
    for key in keys:
        value = fields.get(key)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            continue
        if text := str(value).strip():
            return text
    return None


def _readable(reference: str | None) -> str | None:
    """A reference that can be stored whole; None for any other."""
    if reference is None or len(reference) > REFERENCE_CHARACTERS_MAX or not reference.isprintable():
        return None
    return reference
