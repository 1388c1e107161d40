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
from nepxy.providers.generic_json import OUR_REF_KEYS as SECTION_8_OUR_REF_KEYS
from nepxy.providers.generic_json import STATUS_KEYS, WEBHOOK_REF_KEYS
from nepxy.providers.wallet_fields import first_text, readable

OUR_REF_KEYS: Final = ("externalId", *SECTION_8_OUR_REF_KEYS)
"""MTN's own name for it first."""


def read(document: Mapping[str, object], provider: str) -> Notice:
    """Read a parsed body. An amount in it is not read: whose unit it would be in is not known.

    Raises:
        WebhookRefused: `MISSING_STATUS` or `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
    """
    inner = document.get("data")
    fields = inner if isinstance(inner, Mapping) else document
    provider_ref = readable(first_text(fields, WEBHOOK_REF_KEYS))
    our_ref = readable(first_text(fields, OUR_REF_KEYS))
    word = codes.code_text(first_text(fields, STATUS_KEYS))
    if word is None:
        raise WebhookRefused("MISSING_STATUS", provider)
    if provider_ref is None and our_ref is None:
        raise WebhookRefused("MISSING_PROVIDER_REF_OR_EXTERNAL_REF", provider)
    return Notice(
        provider_ref=provider_ref,
        our_ref=our_ref,
        status_word=_shown(first_text(fields, STATUS_KEYS) or ""),
        report=_report(fields, word, provider_ref),
    )


def hint(reference: SubmissionRef, document: Mapping[str, object] | None) -> Notice:
    """A call of the callback URL of this reference: what its body says, and whom it names, decides nothing."""
    word = first_text(document or {}, STATUS_KEYS) or ""
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
