"""Moov Africa Benin's merchant SOAP profile, FLOOZ's own (profile B of the provider page, 5.2 [I]).

All of it is inferred from public code [I]; what is unknown, and the safe reading that was chosen:

- What a repeated `referenceid` gets is [U]: nothing is resent by itself.
- The call pays synchronously: status 0 is CONFIRMED, if the answer also names the transaction or our reference. Should
  the paper say otherwise, `FLOOZ_MOOV_CODES=0=accepted` makes it an acceptance.
- Two sources give 91 to 98 different meanings, and 99 and -1 are internal: all are unknown outcomes. The table is
  configuration (`FLOOZ_MOOV_CODES`); a code in neither table is unknown, and no code but 0 can be made to mean "paid".
- Whether `getTransactionStatus` takes our reference as `transid` is [U]: asked so, it counts only where it finds
  something and names it. 94 ("does not exist", or "parameters") is "absent", which is never proof. No answer of it says
  "failed": no such answer is documented, so an unpaid one is a person's matter.
- `amount` is in whole francs; the form of `destination` is [I] digits with the country code, and a setting.
- No callback is known.
- The token is static and made by hand once, so that no key of Moov's is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from nepxy.config.providers import FloozSettings
from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.failures import FailureCode
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.engine.payout import Payout
from nepxy.errors import WebhookRefused
from nepxy.providers.contract import AccountState, Balance, Notice, SendGuard
from nepxy.providers.soap import Fields, SoapAnswer, envelope, read_soap
from nepxy.providers.wallet_fields import (
    INSUFFICIENT_FLOAT,
    NOT_SERVED,
    Heard,
    fingerprint,
    first_text,
    msisdn,
    not_served,
    readable,
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

NAMESPACE: Final = "http://api.merchant.tlc.com/"
CURRENCY: Final = "XOF"
COUNTRY_CODE: Final = "+229"

CODES: Final[Mapping[str, str]] = {
    "0": "confirmed",
    "100": "accepted",
    **dict.fromkeys(("1", "2", "4"), "blocked"),
    **dict.fromkeys(("3", "6", "7", "9", "17", "18", "555"), "rejected"),
    **dict.fromkeys(("11", "12"), "rejected"),
    **dict.fromkeys(("8", "10"), "float"),
    **dict.fromkeys(("13", "14", "15", "16", "19", "20"), "blocked"),
    **dict.fromkeys(("91", "92", "94", "95", "98", "99", "-1"), "unknown"),
}
"""The table of V1P; any other code is unknown."""
MEANINGS: Final[Mapping[str, OutcomeClass]] = {
    "confirmed": OutcomeClass.CONFIRMED,
    "accepted": OutcomeClass.ACCEPTED,
    "rejected": OutcomeClass.REJECTED,
    "blocked": OutcomeClass.BLOCKED,
    "float": OutcomeClass.BLOCKED,
    "unknown": OutcomeClass.UNKNOWN,
}
FAILURES: Final[Mapping[str, FailureCode]] = {
    **NOT_SERVED,
    **dict.fromkeys(("MOOV_3", "MOOV_555"), FailureCode.UNKNOWN_PAYEE),
    **dict.fromkeys(("MOOV_6", "MOOV_7", "MOOV_9"), FailureCode.PAYEE_CANNOT_RECEIVE),
    **dict.fromkeys(("MOOV_17", "MOOV_18"), FailureCode.LIMIT_EXCEEDED),
    **dict.fromkeys(("MOOV_11", "MOOV_12"), FailureCode.AMOUNT_NOT_PAYABLE),
}
"""V1P's words for its codes: bad number, not registered; cannot receive, locked, inactive; limits; bounds."""
NO_SUCH_WALLET: Final = frozenset({"3", "6", "7", "9", "555"})
"""Of an account check: bad number, cannot receive, locked, inactive, not registered."""


@dataclass(frozen=True)
class MoovSoapWallet:
    """An adapter over one merchant account of Moov Africa Benin."""

    name: str
    settings: FloozSettings
    http: ProviderHttp

    @cached_property
    def capabilities(self) -> Capabilities:
        """Asked by either reference, by ours only as far as it finds something; sends no callbacks."""
        return Capabilities(
            repeated_reference=RepeatedReference(self.settings.duplicate_reference),
            lookup_by_reference=True,
            status_by_provider_ref=True,
            webhooks=WebhookTrust.NONE,
            balance=bool(self.settings.moov_msisdn),
            account_check=True,
            failures=FAILURES,
        )

    @property
    def account(self) -> str:
        """Mode, profile, endpoint, wallet and a fingerprint of the token, which names the merchant."""
        token = fingerprint(self.settings.moov_token.get_secret_value())
        wallet = self.settings.moov_wallet_id
        return f"{self.settings.mode} moov-soap {self.settings.base_url} wallet:{wallet} token:{token}"

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        """Pay, within the call; see `_read_submit`."""
        if payout.currency != CURRENCY:
            return not_served("CURRENCY_NOT_SERVED", "Moov Benin pays in XOF only")
        if not payout.phone_e164.startswith(COUNTRY_CODE):
            return not_served("COUNTRY_NOT_SERVED", "this endpoint of Moov's pays in Benin only")
        operation = self.settings.moov_operation
        request = {
            "destination": msisdn(payout, self.settings.msisdn_form_or("digits")),
            "amount": str(payout.amount),
            "referenceid": payout.submission_ref,
        }
        if operation == "transferFlooz":
            request |= {"walletid": self.settings.moov_wallet_id, "extendeddata": ""}
        else:
            request |= {"remarks": ""}
        result = await self._call(operation, request, guard)
        if not isinstance(result, Answered):
            return failed_submit(result, self._name_of(operation), self.settings.moov_token)
        return self._read_submit(self._heard(result, operation), payout, operation)

    async def look_up(self, payout: Payout) -> StatusReport:
        """Ask with our reference as `transid`: only a positive answer that names it says anything."""
        return await self._status(payout.submission_ref, payout, names=(payout.submission_ref,))

    async def poll(self, payout: Payout) -> StatusReport:
        """Ask with Moov's `transactionid`."""
        theirs = str(payout.provider_ref)
        return await self._status(theirs, payout, names=(theirs, payout.submission_ref))

    async def balance(self, currency: str) -> Balance | None:
        """What our merchant number holds."""
        if currency != CURRENCY or not self.settings.moov_msisdn:
            return None
        answer = await self._ask("getBalance", {"msisdn": self.settings.moov_msisdn})
        if answer is None or answer.fields.get("status") != "0":
            return None
        amount = whole_amount(answer.fields.get("balance"))
        return None if amount is None or amount < 0 else Balance(amount=amount, currency=CURRENCY)

    async def check_account(self, phone_e164: str) -> AccountState:
        """Whether the wallet takes money; `allowedtransfer` is [I], and a 0 there says nothing."""
        answer = await self._ask("getMobileAccountStatus", {"msisdn": phone_e164.removeprefix("+")})
        status = None if answer is None else answer.fields.get("status")
        if answer is not None and status == "0" and answer.fields.get("allowedtransfer") == "1":
            return AccountState.ACTIVE
        return AccountState.UNKNOWN_PAYEE if status in NO_SUCH_WALLET else AccountState.NOT_TOLD

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        """Refuse: no callback of Moov's is known.

        Raises:
            WebhookRefused: `MISSING_STATUS`.
        """
        raise WebhookRefused("MISSING_STATUS", self.name)

    async def close(self) -> None:
        """Close its connections."""
        await self.http.close()

    # ---- the wire ----------------------------------------------------------------------------------

    async def _call(
        self, operation: str, request: Mapping[str, str], guard: SendGuard | None = None
    ) -> WireResult:
        fields: Fields = {"token": self.settings.moov_token.get_secret_value(), "request": request}
        return await self.http.call(
            "POST",
            self.settings.base_url,
            headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'},
            body=envelope(operation, fields, namespace=NAMESPACE),
            guard=guard,
        )

    async def _ask(self, operation: str, request: Mapping[str, str]) -> SoapAnswer | None:
        result = await self._call(operation, request)
        if not isinstance(result, Answered):
            return None
        return _answer_to(operation, result)

    def _name_of(self, operation: str) -> str:
        return f"POST {urlsplit(self.settings.base_url).path} {operation}"

    def _heard(self, result: Answered, operation: str) -> Heard:
        return Heard(result, self._name_of(operation), (self.settings.moov_token,))

    # ---- what it says ------------------------------------------------------------------------------

    def _read_submit(self, heard: Heard, payout: Payout, operation: str) -> Outcome:
        """Map an answered payout by its status; a SOAP fault proves nothing."""
        answer = _answer_to(operation, heard.result)
        status = None if answer is None else readable(first_text(answer.fields, ("status",)))
        if answer is None or status is None:
            return unmapped_submit(heard.result, heard.call, *heard.secrets)
        named = first_text(answer.fields, ("referenceid",))
        if named is not None and named != payout.submission_ref:
            rule = "an answer that names another reference says nothing of ours"
            return heard.outcome(OutcomeClass.UNKNOWN, "OTHER_REFERENCE", rule)
        theirs = readable(first_text(answer.fields, ("transactionid",)))
        meaning = self._meaning_of(status)
        kind, rule = MEANINGS[meaning], f"status {heard.code(status)}"
        match kind:
            case OutcomeClass.CONFIRMED if theirs is None and named is None:
                rule = "status 0 that names no transaction"
                return heard.outcome(OutcomeClass.UNKNOWN, "PAID_WITHOUT_REFERENCE", rule)
            case OutcomeClass.CONFIRMED | OutcomeClass.ACCEPTED:
                return heard.outcome(kind, kind.value, rule, provider_ref=theirs)
            case _:
                if meaning == "float":
                    short = shortfall_of(payout)
                    return heard.outcome(kind, INSUFFICIENT_FLOAT, rule, shortfall=short)
                return heard.outcome(kind, f"MOOV_{heard.code(status)}", rule)

    def _meaning_of(self, status: str) -> str:
        """What a status means: as set, else by V1P's table, else nothing that is known."""
        pairs = (pair.strip().partition("=") for pair in self.settings.moov_codes.split(","))
        ours = {code: word for code, _, word in pairs}
        return ours.get(status) or CODES.get(status, "unknown")

    async def _status(self, transid: str, payout: Payout, *, names: tuple[str, ...]) -> StatusReport:
        """What a transaction came to.

        Args:
            transid: what is asked for.
            payout: whose it is.
            names: the references of which an answer must hold one, to be about it.
        """
        operation = "getTransactionStatus"
        result = await self._call(operation, {"transid": transid})
        if not isinstance(result, Answered):
            return failed_read(result, self._name_of(operation), self.settings.moov_token)
        heard = self._heard(result, operation)
        answer = _answer_to(operation, result)
        status = None if answer is None else first_text(answer.fields, ("status",))
        if answer is None or status is None:
            return unmapped_read(result, heard.call, *heard.secrets)
        if status == "94":
            return heard.report(Finding.ABSENT, "MOOV_94", "status 94: does not exist")
        held = {answer.fields.get(key) for key in ("transid", "transactionid", "referenceid")} - {None, ""}
        ours = answer.fields.get("referenceid")
        if not held & set(names) or (ours and ours != payout.submission_ref):
            rule = "a status counts only where the answer names what was asked for"
            return heard.report(Finding.NO_ANSWER, "REFERENCE_NOT_ECHOED", rule)
        word = (first_text(answer.fields, ("description", "message")) or "").upper()
        reason, rule = f"MOOV_{heard.code(status)}", f"status {heard.code(status)} {heard.code(word)}".strip()
        if status == "0" and word == "SUCCESS":
            return heard.report(Finding.PAID, "PAID", rule)
        if status == "100":
            return heard.report(Finding.IN_FLIGHT, "PENDING", rule)
        return heard.report(Finding.NO_ANSWER, reason, rule)


def _answer_to(operation: str, result: Answered) -> SoapAnswer | None:
    """The answer to this operation; a fault, an HTTP error or another operation's answer is none."""
    answer = read_soap(result.body) if result.status == 200 else None
    return answer if answer is not None and answer.operation == f"{operation}Response" else None
