"""MTN MoMo Disbursement (providers.md, section 3): one adapter for one country's account.

What is known [D, O]: a repeated reference is refused with 409; a transfer is asked for by our reference, never by any
of MTN's; a 202 means taken, not paid. So the row's `provider_ref` is our own reference, by which MTN calls it too, and
`financialTransactionId`, which finds nothing, is kept in the evidence of the success.

What is not known [U], and the safe reading that was chosen:

- How long a used reference is remembered: a repeat whose look-up stays empty is a person's matter, by the engine.
- Whether a 404 is lag or absence: it is `ABSENT`, which proves nothing by itself.
- A 400 without a JSON object may be a proxy's own: only with one it is `REJECTED`. A 202 with a body is none of ours.
- A refusal by a 500 (`NOT_ALLOWED` and the like) counts once a look-up finds nothing; else what is found counts.
- `NOT_ENOUGH_FUNDS` is our balance or the payee's limit: our balance is asked, and decides. Where it cannot be had,
  the payout is tried again, and nobody is paused.
- A failed transfer with `INTERNAL_PROCESSING_ERROR` and the like ends the payout: a new try is an operator's to decide.
- MTN's sandbox takes EUR only. There, and only there (mode sandbox *and* target environment sandbox), payouts of any
  currency are sent as `MOMO_SANDBOX_CURRENCY`, the number unchanged: 1000 XOF is sent as 1000 EUR. It is play money.
- In a country's environment a payout in another currency than the country's is refused here: MTN would answer
  `INVALID_CURRENCY`, which looks like an error of ours and would stop everybody's payouts.
- Callbacks are unsigned: they are hints, and come to a URL that only MTN was told (`callback_urls`).
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import structlog

from nepxy.config.groups import Mode
from nepxy.config.providers import MomoSettings
from nepxy.config.reach import CURRENCIES, MTN_ENVIRONMENTS
from nepxy.config.secret import Secret
from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.money import EXPONENTS
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, Shortfall, StatusReport
from nepxy.engine.payout import Payout, ProviderRef
from nepxy.providers import momo_codes as codes
from nepxy.providers import momo_webhooks as webhooks
from nepxy.providers.callback_urls import CallbackUrls, derived_key
from nepxy.providers.contract import AccountState, Balance, Notice, SendGuard
from nepxy.providers.momo_tokens import AccessToken, AccessTokens, NoToken
from nepxy.providers.wire import (
    Answered,
    ProviderHttp,
    WireResult,
    failed_read,
    failed_submit,
    unmapped_read,
    unmapped_submit,
)

log = structlog.get_logger("nepxy.providers.momo")

CAPABILITIES: Final = Capabilities(
    repeated_reference=RepeatedReference.REJECTS,
    lookup_by_reference=True,
    status_by_provider_ref=False,
    webhooks=WebhookTrust.HINT,
    balance=True,
    account_check=True,
    failures=codes.FAILURES,
)

TOKEN: Final = "/disbursement/token/"  # noqa: S105 - a path
TRANSFER: Final = "/disbursement/v1_0/transfer"
BALANCE: Final = "/disbursement/v1_0/account/balance"
ACCOUNT_HOLDER: Final = "/disbursement/v1_0/accountholder/msisdn"

SUBMIT_CALL: Final = f"POST {TRANSFER}"
STATUS_CALL: Final = f"GET {TRANSFER}/{{X-Reference-Id}}"
TOKEN_CALL: Final = f"POST {TOKEN}"


@dataclass(frozen=True, slots=True)
class _Said:
    """How a call ended, and what must not be kept of it."""

    result: WireResult
    secrets: tuple[Secret, ...]


@dataclass(frozen=True, slots=True)
class Momo:
    """An adapter over one API user of one country."""

    settings: MomoSettings
    http: ProviderHttp
    clock: Callable[[], float] = time.monotonic
    unix_clock: Callable[[], float] = time.time
    name: str = "MOMO"
    capabilities: Capabilities = CAPABILITIES
    tokens: AccessTokens = field(init=False)
    callbacks: CallbackUrls = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        callbacks = CallbackUrls(
            base_url=settings.callback_url,
            provider=self.name.lower(),
            # MTN knows the API key, and is the one who is given the URLs.
            current=settings.callback_secret or derived_key(settings.api_key, purpose="callback"),
            previous=settings.callback_secret_previous,
            clock=self.unix_clock,
        )
        object.__setattr__(self, "tokens", AccessTokens(self._ask_for_token, self.clock))
        object.__setattr__(self, "callbacks", callbacks)

    @property
    def account(self) -> str:
        """Mode, host, country and API user; keys may be exchanged without making it another account."""
        settings = self.settings
        url = urlsplit(self._base)
        user = hashlib.sha256(settings.api_user.encode()).hexdigest()[:12]
        return (
            f"{settings.mode} momo-disbursement {url.scheme}://{url.netloc}{url.path} "
            f"{settings.target_env} user:{user}"
        )

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        """POST the transfer under our reference; `_read_submit` says what its answer means."""
        refused = self._refused_here(payout)
        if refused is not None:
            return refused
        headers = {"X-Reference-Id": payout.submission_ref, "Content-Type": "application/json"}
        callback_url = self.callbacks.url_for(payout.submission_ref)
        if callback_url is not None:
            headers["X-Callback-Url"] = callback_url
        said = await self._call("POST", TRANSFER, headers=headers, body=self._transfer(payout), guard=guard)
        if isinstance(said, NoToken):
            return self._no_token(said)
        if not isinstance(said.result, Answered):
            return failed_submit(said.result, SUBMIT_CALL, *said.secrets)
        return await self._read_submit(said.result, payout, guard, said.secrets)

    async def look_up(self, payout: Payout) -> StatusReport:
        """GET the transfer by our reference; a failed one says why, which may take a look at our balance."""
        report = await self._status(payout)
        if report.finding is not Finding.UNPAID or report.reason not in codes.OURS_TO_MEND:
            return report
        if report.reason == codes.NOT_ENOUGH_FUNDS:
            return await self._for_want_of_funds(report, payout)
        return replace(report, retry_with_new_reference=True, blocks_provider=True)

    async def poll(self, payout: Payout) -> StatusReport:
        """The same: MTN has no reference of its own to ask by."""
        return await self.look_up(payout)

    async def balance(self, currency: str) -> Balance | None:
        """What our disbursement account holds; None: not told, or held in another currency."""
        said = await self._call("GET", BALANCE)
        answer = said.result if isinstance(said, _Said) else None
        document = answer.json_object() if isinstance(answer, Answered) and answer.status == 200 else None
        if document is None or document.get("currency") != self._sent_as(currency):
            return None
        amount = codes.balance_amount(document.get("availableBalance"), currency)
        return None if amount is None else Balance(amount=amount, currency=currency)

    async def check_account(self, phone_e164: str) -> AccountState:
        """Whether the number has a wallet that is active."""
        said = await self._call("GET", f"{ACCOUNT_HOLDER}/{self._msisdn(phone_e164)}/active")
        if isinstance(said, NoToken) or not isinstance(said.result, Answered):
            return AccountState.NOT_TOLD
        document = said.result.json_object()
        if said.result.status == 404 and codes.code_of(document) == codes.NOT_FOUND:
            return AccountState.UNKNOWN_PAYEE
        active = document.get("result") if document is not None and said.result.status == 200 else None
        if not isinstance(active, bool):
            return AccountState.NOT_TOLD
        return AccountState.ACTIVE if active else AccountState.UNKNOWN_PAYEE

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        """Read a body, MTN's own or one of the signed webhooks of section 8.

        Raises:
            WebhookRefused: `MISSING_STATUS` or `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
        """
        return webhooks.read(document, self.name)

    def read_callback(self, token: str, document: Mapping[str, object] | None) -> Notice | None:
        """What a call of one of our callback URLs is a hint about, whatever its body says.

        Args:
            token: the last part of the path.
            document: the body; None where it is no JSON object.

        Returns:
            None: the token was not made by us, or long ago.
        """
        reference = self.callbacks.reference_of(token)
        return None if reference is None else webhooks.hint(reference, document)

    async def close(self) -> None:
        """End a renewal, and close the connections."""
        await self.tokens.close()
        await self.http.close()

    # ---- calls -------------------------------------------------------------------------------------

    @property
    def _base(self) -> str:
        return self.settings.base_url.rstrip("/")

    async def _ask_for_token(self) -> WireResult:
        settings = self.settings
        headers = {
            "Authorization": f"Basic {self._basic.get_secret_value()}",
            "Ocp-Apim-Subscription-Key": settings.subscription_key.get_secret_value(),
            # Without a length MTN's gateway answers 411 [O].
            "Content-Length": "0",
        }
        return await self.http.call("POST", self._base + TOKEN, headers=headers)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        guard: SendGuard | None = None,
    ) -> _Said | NoToken:
        """One call with a token; after a 401 once more with a new one, which the guard is asked about again."""
        token = await self.tokens.get()
        for is_last in (False, True):
            if isinstance(token, NoToken):
                return token
            said = await self._call_with(token, method, path, headers or {}, body, guard)
            refused = isinstance(said.result, Answered) and said.result.status == 401
            if is_last or not refused:
                return said
            self.tokens.drop(token)
            token = await self.tokens.get()
        raise AssertionError("the second call is the last")

    async def _call_with(
        self,
        token: AccessToken,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        guard: SendGuard | None,
    ) -> _Said:
        key = self.settings.subscription_key
        sent = {
            **headers,
            "Authorization": f"Bearer {token.value.get_secret_value()}",
            "Ocp-Apim-Subscription-Key": key.get_secret_value(),
            "X-Target-Environment": self.settings.target_env,
        }
        result = await self.http.call(method, self._base + path, headers=sent, body=body, guard=guard)
        return _Said(result, (token.value, *self._token_secrets))

    # ---- what is sent ------------------------------------------------------------------------------

    def _transfer(self, payout: Payout) -> bytes:
        document: dict[str, Any] = {
            "amount": codes.wire_amount(payout.amount, payout.currency),
            "currency": self._sent_as(payout.currency),
            # The only link to us that a callback carries.
            "externalId": payout.submission_ref,
            "payee": {"partyIdType": "MSISDN", "partyId": self._msisdn(payout.phone_e164)},
            "payerMessage": codes.note_text("Payout", payout.external_ref),
            "payeeNote": codes.note_text(_purpose(payout) or "Payout"),
        }
        return orjson.dumps(document)

    def _sent_as(self, currency: str) -> str:
        settings = self.settings
        plays = settings.mode is Mode.SANDBOX and settings.target_env == "sandbox"
        return settings.sandbox_currency or currency if plays else currency

    def _msisdn(self, phone_e164: str) -> str:
        return codes.wire_msisdn(phone_e164, benin_digits=self.settings.benin_digits)

    def _refused_here(self, payout: Payout) -> Outcome | None:
        country = MTN_ENVIRONMENTS.get(self.settings.target_env, "")
        held = CURRENCIES.get(country)
        known = payout.currency in EXPONENTS
        if known and (held is None or payout.currency in held):
            return None
        return Outcome(
            kind=OutcomeClass.REJECTED,
            reason="CURRENCY_NOT_SUPPORTED",
            call=SUBMIT_CALL,
            answer="nothing was sent",
            rule=f"{payout.currency} is not paid in {self.settings.target_env}",
        )

    # ---- what is answered --------------------------------------------------------------------------

    def _no_token(self, none: NoToken) -> Outcome:
        """No token, so nothing of this transfer is at MTN: it was not sent, or refused for its old token."""
        result, secrets = none.result, self._token_secrets
        if not isinstance(result, Answered):
            failed = failed_submit(result, TOKEN_CALL, *secrets)
            kind, reason, answer, wait_s = OutcomeClass.NOT_SENT, failed.reason, failed.answer, None
        else:
            mapped = unmapped_submit(result, TOKEN_CALL, *secrets)
            refusing = (OutcomeClass.BLOCKED, OutcomeClass.THROTTLED)
            kind = mapped.kind if mapped.kind in refusing else OutcomeClass.NOT_SENT
            reason, answer, wait_s = mapped.reason, mapped.answer, mapped.retry_after_s
        return Outcome(
            kind=kind,
            reason=f"TOKEN_{reason}",
            retry_after_s=wait_s,
            refused_before_processing=kind is OutcomeClass.THROTTLED,
            call=TOKEN_CALL,
            answer=answer,
            rule="no access token, so nothing of the transfer was taken",
        )

    @property
    def _token_secrets(self) -> tuple[Secret, ...]:
        return (self._basic, self.settings.api_key, self.settings.subscription_key)

    @property
    def _basic(self) -> Secret:
        """User and key as HTTP Basic sends them: as secret as the key itself."""
        pair = f"{self.settings.api_user}:{self.settings.api_key.get_secret_value()}"
        return Secret(base64.b64encode(pair.encode()).decode())

    async def _read_submit(
        self, result: Answered, payout: Payout, guard: SendGuard, secrets: tuple[Secret, ...]
    ) -> Outcome:
        unmapped = unmapped_submit(result, SUBMIT_CALL, *secrets)
        document = result.json_object()
        code = codes.code_text((document or {}).get("code"), *secrets)
        if result.status == 202 and not result.body.strip():
            return replace(
                unmapped,
                kind=OutcomeClass.ACCEPTED,
                reason="ACCEPTED",
                provider_ref=ProviderRef(payout.submission_ref),
                rule="202 is taken for processing",
            )
        if result.status < 400:
            return unmapped
        if code in codes.OURS_TO_MEND:
            return await self._refused_by_code(replace(unmapped, reason=code), payout, guard)
        if result.status == 409 or code == codes.REFERENCE_USED:
            return replace(
                unmapped,
                kind=OutcomeClass.UNKNOWN,
                reason=code or unmapped.reason,
                reference_was_used=True,
                rule="409: our reference was used before; what became of it is asked",
            )
        named = replace(unmapped, reason=code or unmapped.reason)
        if result.status == 400 and document is not None and code not in codes.SAYS_NOTHING:
            return replace(named, kind=OutcomeClass.REJECTED, rule="400 with JSON is a refusal")
        return named

    async def _refused_by_code(self, refused: Outcome, payout: Payout, guard: SendGuard) -> Outcome:
        """MTN refuses with a 500 what it has not taken; believed once a look-up knows nothing of it either (3.5)."""
        in_doubt = replace(
            refused,
            kind=OutcomeClass.UNKNOWN,
            rule=f"{refused.reason} refuses, and was not read back",
        )
        if guard.is_late():
            return in_doubt  # the engine's own look-ups begin soon
        report = await self._status(payout)
        match report.finding:
            case Finding.ABSENT:
                short = refused.reason == codes.NOT_ENOUGH_FUNDS
                return replace(
                    refused,
                    kind=OutcomeClass.BLOCKED,
                    shortfall=Shortfall(amount=payout.amount, currency=payout.currency) if short else None,
                    rule=f"{refused.reason} refuses, and a look-up knows nothing of it",
                )
            case Finding.PAID | Finding.UNPAID | Finding.IN_FLIGHT:
                return replace(
                    refused,
                    kind=OutcomeClass.ACCEPTED,
                    provider_ref=ProviderRef(payout.submission_ref),
                    terms=report.terms,
                    rule=f"{refused.reason} refuses, yet a look-up finds it: {report.reason}",
                )
            case _:
                return in_doubt

    async def _status(self, payout: Payout) -> StatusReport:
        said = await self._call("GET", f"{TRANSFER}/{payout.submission_ref}")
        if isinstance(said, NoToken):
            return self._no_token_to_read(said)
        if not isinstance(said.result, Answered):
            return failed_read(said.result, STATUS_CALL, *said.secrets)
        return self._read_status(said.result, payout, said.secrets)

    def _no_token_to_read(self, none: NoToken) -> StatusReport:
        if isinstance(none.result, Answered):
            report = unmapped_read(none.result, TOKEN_CALL, *self._token_secrets)
        else:
            report = failed_read(none.result, TOKEN_CALL, *self._token_secrets)
        return replace(report, reason=f"TOKEN_{report.reason}")

    def _read_status(self, result: Answered, payout: Payout, secrets: tuple[Secret, ...]) -> StatusReport:
        unmapped = unmapped_read(result, STATUS_CALL, *secrets)
        document = result.json_object()
        if document is None:
            return unmapped
        if result.status == 404 and codes.code_of(document) == codes.NOT_FOUND:
            return replace(unmapped, finding=Finding.ABSENT, reason=codes.NOT_FOUND, rule="404 with its code")
        word = codes.code_text(document.get("status"), *secrets)
        if result.status != 200 or word is None:
            return unmapped
        finding = codes.WORDS.get(word)
        if finding is None:
            log.warning("provider.status_unknown", provider=self.name, word=word)
            return replace(
                unmapped, reason=f"STATUS_{word}", rule="a word that is not documented says nothing"
            )
        named = document.get("externalId")
        if named not in (None, "", payout.submission_ref):
            return replace(
                unmapped, reason="OTHER_REFERENCE", rule="an answer about another reference says nothing"
            )
        transaction = codes.transaction_of(document) if finding is Finding.PAID else None
        why = codes.reason_of(document, *secrets) if finding is Finding.UNPAID else None
        return replace(
            unmapped,
            finding=finding,
            reason=why or word,
            # A refused one has no name worth keeping: its next attempt has another reference.
            provider_ref=ProviderRef(payout.submission_ref),
            terms=codes.read_terms(document, payout, sent_as=self._sent_as(payout.currency)),
            rule=f"status {word}" + (f", financialTransactionId {transaction}" if transaction else ""),
        )

    async def _for_want_of_funds(self, report: StatusReport, payout: Payout) -> StatusReport:
        held = await self.balance(payout.currency)
        if held is None:
            return replace(
                report,
                retry_with_new_reference=True,
                rule=f"{report.rule}: NOT_ENOUGH_FUNDS, and our balance is not known",
            )
        if held.amount < payout.amount:
            return replace(
                report,
                retry_with_new_reference=True,
                blocks_provider=True,
                shortfall=Shortfall(amount=payout.amount, currency=payout.currency),
                rule=f"{report.rule}: NOT_ENOUGH_FUNDS, and our balance is short",
            )
        return replace(
            report,
            reason="PAYEE_LIMIT_REACHED",
            rule=f"{report.rule}: NOT_ENOUGH_FUNDS, yet our balance suffices, so it is the payee's limit",
        )


def build_momo(settings: MomoSettings) -> Momo:
    """The adapter of complete settings; its session opens at the first call."""
    http = ProviderHttp.of(settings)
    return Momo(settings, http)


def _purpose(payout: Payout) -> str:
    details = orjson.loads(payout.details)
    purpose = details.get("purpose") if isinstance(details, dict) else None
    return purpose if isinstance(purpose, str) else ""
