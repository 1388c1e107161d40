"""The profile of Qosic (QOSPAY), an aggregator of Togo and Benin (profile D of the provider page, 5.4).

What is unknown, and the safe reading that was chosen:

- What a repeated `transref` gets is [U]: nothing is resent by itself.
- An unknown `transref` is reported as a *failure* with serviceref "0" [I]: a negative answer counts only with a
  serviceref that is something; without one it is "absent", which is never proof.
- The code 00 means accepted in a submit's reply and done in a query's [D]; there is no status by their reference, so
  every question is by ours, and an answer counts only where it names our reference.
- Callbacks are unsigned [D]: hints.
- Only the operators tm (Togocom) and tg (Moov Togo) are known [D]; Benin's has no default.
- The codes of MTN's side are kept in the table: which operators answer with them is [U].
- There is no balance call [D]; code 529 says that the float is short.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import orjson

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
    NOT_SERVED,
    Heard,
    as_code,
    fingerprint,
    first_text,
    msisdn,
    not_served,
    readable,
    reported_number,
    shortfall_of,
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

CURRENCY: Final = "XOF"
NO_SERVICE_REF: Final = "0"

REFUSALS: Final[Mapping[str, str]] = {
    "02": "QOSIC_02",
    "-1": "QOSIC_-1",
    "-2": "QOSIC_-2",
    "515": "OTHER_NETWORK",
    "580": "RECEIVER_LIMIT",
    "849": "VALIDATION_FAILED",
}
FAILURES: Final[Mapping[str, FailureCode]] = {
    **NOT_SERVED,
    "OTHER_NETWORK": FailureCode.OTHER_NETWORK,
    "RECEIVER_LIMIT": FailureCode.LIMIT_EXCEEDED,
}
SUBMIT_CODES: Final[Mapping[str, tuple[OutcomeClass, str]]] = {
    "00": (OutcomeClass.ACCEPTED, "ACCEPTED"),
    "01": (OutcomeClass.ACCEPTED, "PENDING"),
    **{code: (OutcomeClass.REJECTED, reason) for code, reason in REFUSALS.items()},
    "529": (OutcomeClass.BLOCKED, INSUFFICIENT_FLOAT),
}
"""Any other is unknown, 100, 527 and 682 too."""
QUERY_CODES: Final[Mapping[str, tuple[Finding, str]]] = {
    "00": (Finding.PAID, "PAID"),
    "01": (Finding.IN_FLIGHT, "PENDING"),
    **{code: (Finding.UNPAID, reason) for code, reason in REFUSALS.items()},
    "529": (Finding.UNPAID, INSUFFICIENT_FLOAT),
}
"""Any other is no answer."""
CALLBACK_WORDS: Final[Mapping[str, Finding]] = {"SUCCESSFUL": Finding.PAID, "FAILED": Finding.UNPAID}


@dataclass(frozen=True)
class QosicWallet:
    """An adapter over one Qosic account, for one wallet in one or two countries."""

    name: str
    settings: WalletSettings
    http: ProviderHttp

    @cached_property
    def capabilities(self) -> Capabilities:
        """Asked by our reference only; its callbacks are hints."""
        return Capabilities(
            repeated_reference=RepeatedReference(self.settings.duplicate_reference),
            lookup_by_reference=True,
            status_by_provider_ref=False,
            webhooks=WebhookTrust.HINT,
            failures=FAILURES,
        )

    @property
    def account(self) -> str:
        """Mode, profile, base URL and fingerprints of the user and the client ids; a new password is no new account."""
        clients = [f"{code}:{'/'.join(pair)}" for code, pair in self.settings.qosic_countries.items()]
        user = fingerprint(self.settings.qosic_user, *clients)
        return f"{self.settings.mode} qosic {self.settings.base_url} user:{user}"

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        """POST the deposit; see `_read_submit`."""
        if payout.currency != CURRENCY:
            return not_served("CURRENCY_NOT_SERVED", "Qosic pays in XOF only")
        route = self._route(payout)
        if route is None:
            return not_served("COUNTRY_NOT_SERVED", "no client id of Qosic is set for this country")
        operator, client_id = route
        path = f"/{operator}/v1/deposit"
        request = {
            "msisdn": msisdn(payout, self.settings.msisdn_form_or("digits")),
            # A text: their own examples, and 2.1 [D].
            "amount": str(payout.amount),
            "transref": payout.submission_ref,
            "clientid": client_id,
        }
        result = await self._post(path, request, guard)
        if not isinstance(result, Answered):
            return failed_submit(result, f"POST {path}", *self._secrets)
        return _read_submit(Heard(result, f"POST {path}", self._secrets), payout)

    async def look_up(self, payout: Payout) -> StatusReport:
        """Ask by our reference."""
        route = self._route(payout)
        if route is None:
            return StatusReport(
                finding=Finding.NO_ANSWER, reason="COUNTRY_NOT_SERVED", rule="no client id is set to ask with"
            )
        operator, client_id = route
        path = f"/{operator}/v1/gettransactionstatus"
        result = await self._post(path, {"transref": payout.submission_ref, "clientid": client_id})
        if not isinstance(result, Answered):
            return failed_read(result, f"POST {path}", *self._secrets)
        return _read_query(Heard(result, f"POST {path}", self._secrets), payout)

    async def poll(self, payout: Payout) -> StatusReport:
        """The same question: Qosic takes no other reference than ours."""
        return await self.look_up(payout)

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        """Read a callback.

        Raises:
            WebhookRefused: `MISSING_STATUS` or `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
        """
        word = first_text(document, ("status",))
        if word is None:
            raise WebhookRefused("MISSING_STATUS", self.name)
        provider_ref, our_ref = _service_ref(document), readable(first_text(document, ("transRef",)))
        if provider_ref is None and our_ref is None:
            raise WebhookRefused("MISSING_PROVIDER_REF_OR_EXTERNAL_REF", self.name)
        finding = CALLBACK_WORDS.get(word.upper(), Finding.IN_FLIGHT)
        if finding is Finding.UNPAID and provider_ref is None:
            finding = Finding.NO_ANSWER
        shown = as_code(word, *self._secrets)
        report = StatusReport(
            finding=finding,
            reason=shown,
            provider_ref=ProviderRef(provider_ref) if provider_ref else None,
            terms=ReportedTerms(amount=whole_amount(document.get("amount"))),
            call="webhook",
            rule=f"callback word {shown}",
        )
        return Notice(provider_ref=provider_ref, our_ref=our_ref, status_word=shown, report=report)

    async def close(self) -> None:
        """Close its connections."""
        await self.http.close()

    @property
    def _secrets(self) -> tuple[Secret, ...]:
        return (self.settings.qosic_password, Secret(self._credential()))

    def _credential(self) -> str:
        password = self.settings.qosic_password.get_secret_value()
        return b64encode(f"{self.settings.qosic_user}:{password}".encode()).decode()

    def _route(self, payout: Payout) -> tuple[str, str] | None:
        """Operator and client id for the payee's country."""
        return self.settings.qosic_countries.get(payout.phone_e164[1:4])

    async def _post(
        self, path: str, request: Mapping[str, object], guard: SendGuard | None = None
    ) -> WireResult:
        return await self.http.call(
            "POST",
            self.settings.base_url.rstrip("/") + path,
            headers={"Content-Type": "application/json", "Authorization": f"Basic {self._credential()}"},
            body=orjson.dumps(request),
            guard=guard,
        )


def _read_submit(heard: Heard, payout: Payout) -> Outcome:
    """Map an answered deposit by its responsecode; it counts in a 2xx or 4xx that is Qosic's."""
    result = heard.result
    fields = result.json_object()
    code = None if fields is None else first_text(fields, ("responsecode",))
    ok = result.status in (200, 201, 202)
    if fields is None or code is None or not (ok or result.status in (400, 422)):
        return unmapped_submit(result, heard.call, *heard.secrets)
    named = first_text(fields, ("transref",))
    if named is not None and named != payout.submission_ref:
        rule = "an answer that names another reference says nothing of ours"
        return heard.outcome(OutcomeClass.UNKNOWN, "OTHER_REFERENCE", rule)
    shown = heard.code(code)
    kind, reason = SUBMIT_CODES.get(code, (OutcomeClass.UNKNOWN, f"QOSIC_{shown}"))
    if kind is OutcomeClass.ACCEPTED and not ok:
        kind, reason = OutcomeClass.UNKNOWN, f"HTTP_{result.status}"
    taken = kind is OutcomeClass.ACCEPTED
    if not taken and kind is not OutcomeClass.UNKNOWN and _service_ref(fields) is not None:
        # They gave it a number of their own: the query says what became of it.
        rule = f"responsecode {shown}, yet with a serviceref"
        return heard.outcome(OutcomeClass.UNKNOWN, "REFUSED_YET_TAKEN", rule)
    return heard.outcome(
        kind,
        reason,
        f"responsecode {shown} of a deposit",
        provider_ref=_service_ref(fields) if taken else None,
        shortfall=shortfall_of(payout) if reason == INSUFFICIENT_FLOAT else None,
    )


def _read_query(heard: Heard, payout: Payout) -> StatusReport:
    result = heard.result
    fields = result.json_object()
    code = None if fields is None else first_text(fields, ("responsecode",))
    if fields is None or code is None or result.status not in (200, 202):
        return unmapped_read(result, heard.call, *heard.secrets)
    if first_text(fields, ("transref",)) != payout.submission_ref:
        rule = "an answer counts only where it names our reference"
        return heard.report(Finding.NO_ANSWER, "REFERENCE_NOT_ECHOED", rule)
    shown = heard.code(code)
    finding, reason = QUERY_CODES.get(code, (Finding.NO_ANSWER, f"QOSIC_{shown}"))
    service_ref = _service_ref(fields)
    if finding is Finding.UNPAID and service_ref is None:
        rule = f"responsecode {shown} without a serviceref: an unknown reference looks the same"
        return heard.report(Finding.ABSENT, reason, rule)
    return heard.report(
        finding,
        reason,
        f"responsecode {shown} of a query",
        provider_ref=service_ref,
        terms=ReportedTerms(
            amount=whole_amount(fields.get("amount")),
            phone_e164=reported_number(first_text(fields, ("msisdn",))),
        ),
        shortfall=shortfall_of(payout) if reason == INSUFFICIENT_FLOAT else None,
    )


def _service_ref(fields: Mapping[str, object]) -> str | None:
    """Their reference; "0" is none."""
    reference = readable(first_text(fields, ("serviceref", "serviceRef")))
    return None if reference is None or not reference.strip(NO_SERVICE_REF) else reference
