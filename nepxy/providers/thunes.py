"""Thunes Money Transfer v2 (provider page, section 4): quotation, transaction, confirm; money moves on confirm only.

What a repeated reference gets: **replays**. `external_id` is unique for a partner, and its reuse is refused with
1007001 [D]; a second confirm is refused with 1007002 [D]. So a submit that is repeated creates nothing and confirms
nothing a second time: it finds the transaction that is there, and goes on with it or reports it. Look-up by our
reference is `GET /transactions/ext-{external_id}` [D]. One that is created and not confirmed (class 1) moves no money
by itself: it is UNFINISHED, and a resend finishes it. Only class 7, read by our external id, is paid; Thunes' own word
CONFIRMED (class 2) means queued.

Unknown [U] or inferred [I], and the safe reading that was chosen:

- Whether quotations and transactions share one space of external ids [I: they do not]: the quotation's is our reference
  with `-q` and the attempt, so that neither they nor two quotations can collide; the transaction's is our reference.
- Whether the uniqueness of an external id is atomic [I]: every confirm is preceded by a committed step, which only one
  owner of a payout gets, so two transactions could be created, but not two be confirmed by us.
- How long an external id is kept [U]: where a transaction's id is known, none is created again, whatever a read says.
- The HTTP status of 1007001 and the like [U]: any 4xx with Thunes' own codes counts; a 5xx never does.
- Classes 6 and 8 differ between the documents: 60020 and a class 8 whose message says reversed are REVERSED, all
  others stay in flight until a person has looked.
- Callbacks: no signature is documented for v2, so they are hints; whether unsigned ones are taken at all is a setting.
  Class 7 in one is not "paid", however it is signed: that counts only re-read by our external id.
- Fields of `sending_business` and `receiving_business` beside `registered_name` and the address [U]: not sent.
- The float: `available` of the balance in our source currency, whatever currency is asked for: all payouts draw on it.

`cancel` is used for what cannot be confirmed any more (an expired quotation, a refusal for good); the engine itself
never cancels at a provider, so there is no method for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from nepxy.config.masking import mask_text
from nepxy.config.providers import ThunesSettings
from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.money import AMOUNT_MAX, EXPONENTS
from nepxy.engine.msisdn import parse_msisdn
from nepxy.engine.outcomes import Finding, Outcome, StatusReport
from nepxy.engine.payout import Payout, ProviderRef
from nepxy.errors import ValidationFailed, WebhookRefused
from nepxy.providers.contract import AccountState, Balance, Notice, SendGuard
from nepxy.providers.thunes_codes import (
    ACCOUNT_INVALID,
    FAILURES,
    decimal_of,
    identifier,
    minor_units,
    read_transaction,
    report_of,
)
from nepxy.providers.thunes_payers import Payers
from nepxy.providers.thunes_requests import order_of, required_fields
from nepxy.providers.thunes_submit import Submission, is_absent
from nepxy.providers.thunes_wire import Reply, ThunesApi
from nepxy.providers.wire import Answered, ProviderHttp, failed_read, unmapped_read

CAPABILITIES: Final = Capabilities(
    repeated_reference=RepeatedReference.REPLAYS,
    lookup_by_reference=True,
    status_by_provider_ref=True,
    webhooks=WebhookTrust.HINT,
    reverses_after_success=True,
    balance=True,
    account_check=True,
    failures=FAILURES,
)

PROVIDER_REF_KEYS: Final = ("id", "provider_ref", "providerReference", "transaction_id")
OUR_REF_KEYS: Final = ("external_id", "external_ref", "externalReference", "client_ref", "clientReference")
STATUS_KEYS: Final = ("status", "state")
WORD_BYTES_MAX: Final = 64

_ACCOUNTS: Final[Mapping[str, AccountState]] = {
    "AVAILABLE": AccountState.ACTIVE,
    **dict.fromkeys(("BARRED", "INACTIVE", "SUSPENDED"), AccountState.UNKNOWN_PAYEE),
}
"""`account_status` (4.2, step 0b [D]); another one, such as UNVERIFIED, tells nothing."""


@dataclass(frozen=True, slots=True)
class Thunes:
    """An adapter over one account."""

    settings: ThunesSettings
    http: ProviderHttp
    api: ThunesApi
    payers: Payers
    name: str = "THUNES"
    capabilities: Capabilities = CAPABILITIES

    @classmethod
    def over(cls, settings: ThunesSettings, http: ProviderHttp) -> Thunes:
        """An adapter with these settings over this session."""
        api = ThunesApi(settings, http)
        requires = required_fields(settings.tx_type)
        return cls(settings, http, api, Payers(api), capabilities=replace(CAPABILITIES, requires=requires))

    @property
    def account(self) -> str:
        """Mode, host and path, and a fingerprint of the key; the key cannot be had back from it."""
        url = urlsplit(self.api.base)
        key = hashlib.sha256(self.settings.api_key.get_secret_value().encode()).hexdigest()[:12]
        return f"{self.settings.mode} thunes {url.scheme}://{url.netloc}{url.path} key:{key}"

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        """Quote, create and confirm; or go on where an earlier submit of this reference ended."""
        order = order_of(payout, self.settings)
        if isinstance(order, Outcome):
            return order
        return await Submission(self.api, self.payers, order, guard).run()

    async def look_up(self, payout: Payout) -> StatusReport:
        """Read the transaction under our external id."""
        reply = await self.api.get("/transactions/ext-{}", payout.submission_ref)
        if not isinstance(reply.result, Answered):
            return failed_read(reply.result, reply.call, *reply.secrets)
        if is_absent(reply):
            return StatusReport(
                finding=Finding.ABSENT,
                reason="TRANSACTION_NOT_FOUND",
                call=reply.call,
                answer=reply.evidence,
                rule=f"error {', '.join(reply.codes)}: no transaction under our external id",
            )
        return _read(reply, payout, reply.result)

    async def poll(self, payout: Payout) -> StatusReport:
        """The same read: only what Thunes says under our external id settles a payout."""
        return await self.look_up(payout)

    async def balance(self, currency: str) -> Balance | None:
        """What is available in our source currency, on which every payout draws; rounded down."""
        reply = await self.api.get("/balances")
        ours = self.settings.source_currency
        if reply.status != 200 or not isinstance(reply.document, list) or ours not in EXPONENTS:
            return None
        for entry in reply.document:
            if isinstance(entry, dict) and entry.get("currency") == ours:
                available = decimal_of(entry.get("available"))
                if available is None or abs(available) > AMOUNT_MAX:
                    return None
                return Balance(amount=minor_units(available, ours, ROUND_FLOOR), currency=ours)
        return None

    async def check_account(self, phone_e164: str) -> AccountState:
        """Ask the payer of the number's country to verify the credit party; moves nothing."""
        try:
            payer_id = self.settings.payer_ids.get(parse_msisdn(phone_e164).country)
        except ValidationFailed:
            payer_id = None
        if payer_id is None:
            return AccountState.NOT_TOLD
        reply = await self.api.post(
            "/payers/{}/{}/credit-party-verification",
            payer_id,
            self.settings.tx_type,
            guard=None,
            body=orjson.dumps({"credit_party_identifier": {"msisdn": phone_e164}}),
        )
        if reply.codes == (ACCOUNT_INVALID,):
            return AccountState.UNKNOWN_PAYEE
        said = None if reply.found is None else reply.found.get("account_status")
        return _ACCOUNTS.get(said, AccountState.NOT_TOLD) if isinstance(said, str) else AccountState.NOT_TOLD

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        """Read a callback, which is the whole transaction; other forms name a payout, and say nothing of it.

        Raises:
            WebhookRefused: `MISSING_STATUS` or `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
        """
        inner = document.get("data")
        fields = inner if isinstance(inner, dict) else document
        word = next((text for key in STATUS_KEYS if (text := _word(fields.get(key)))), None)
        provider_ref, our_ref = _first(fields, PROVIDER_REF_KEYS), _first(fields, OUR_REF_KEYS)
        if word is None:
            raise WebhookRefused("MISSING_STATUS", self.name)
        if provider_ref is None and our_ref is None:
            raise WebhookRefused("MISSING_PROVIDER_REF_OR_EXTERNAL_REF", self.name)
        shown = mask_text(word, WORD_BYTES_MAX, secrets=self.api.secrets)
        return Notice(
            provider_ref=provider_ref,
            our_ref=our_ref,
            status_word=shown,
            report=_callback_report(fields, provider_ref, shown),
        )

    async def close(self) -> None:
        """Close its connections."""
        await self.http.close()


def build_thunes(settings: ThunesSettings) -> Thunes:
    """The adapter of complete settings; its session opens at the first call."""
    http = ProviderHttp.of(settings)
    return Thunes.over(settings, http)


def _read(reply: Reply, payout: Payout, result: Answered) -> StatusReport:
    transaction = None if reply.found is None else read_transaction(reply.found)
    if transaction is None:
        return unmapped_read(result, reply.call, *reply.secrets)
    if transaction.external_id != payout.submission_ref:
        return StatusReport(
            finding=Finding.NO_ANSWER,
            reason="OTHER_REFERENCE",
            call=reply.call,
            answer=reply.evidence,
            rule="an answer that does not name our external id says nothing of ours",
        )
    return report_of(transaction, call=reply.call, answer=reply.evidence)


def _callback_report(fields: Mapping[str, Any], provider_ref: str | None, word: str) -> StatusReport:
    transaction = read_transaction(fields)
    if transaction is None:
        return StatusReport(
            finding=Finding.NO_ANSWER,
            reason="NOT_A_TRANSACTION",
            provider_ref=None if provider_ref is None else ProviderRef(provider_ref),
            call="webhook",
            rule=f"{word} is no numeric status of a transaction: it says nothing",
        )
    report = report_of(transaction, call="webhook", answer="")
    if report.finding is not Finding.PAID:
        return report
    rule = f"{report.rule}: confirmed only when re-read by our external id"
    return replace(report, finding=Finding.IN_FLIGHT, rule=rule)


def _first(fields: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    """The first of these that can be stored whole and asked for."""
    return next((found for key in keys if (found := identifier(fields.get(key))) is not None), None)


def _word(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value).strip() or None
