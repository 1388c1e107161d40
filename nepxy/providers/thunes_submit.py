"""One submit to Thunes: quotation, transaction, confirm; and how one that broke off is taken up again (4.2, 4.3).

Only the confirm moves money. Each submit begins where the earlier ones ended: what decides is the transaction that
Thunes has under our external id, never our own memory of it. So however often it is run, and wherever it was cut, one
payout has at most one transaction, and one transaction is confirmed at most once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.engine.payout import ProviderRef
from nepxy.providers.contract import SendGuard
from nepxy.providers.thunes_codes import (
    ALREADY_CONFIRMED,
    CANNOT_CONFIRM,
    EXTERNAL_ID_USED,
    INSUFFICIENT_BALANCE,
    NOT_FOUND,
    QUOTATION_EXPIRED,
    ErrorClass,
    Transaction,
    decimal_of,
    identifier,
    meaning,
    read_transaction,
    report_of,
)
from nepxy.providers.thunes_payers import Payers
from nepxy.providers.thunes_requests import Order
from nepxy.providers.thunes_wire import SIMULATED, Reply, ThunesApi
from nepxy.providers.wire import Answered, NotSent, failed_submit, unmapped_submit

CREATING: Final = "CREATING"
CONFIRMING: Final = "CONFIRMING"
CANCELLING: Final = "CANCELLING"

_BY_FINDING: Final[Mapping[Finding, OutcomeClass]] = {
    Finding.PAID: OutcomeClass.CONFIRMED,
    Finding.IN_FLIGHT: OutcomeClass.ACCEPTED,
    Finding.UNPAID: OutcomeClass.REJECTED,
}
"""What a look-up says best of all others is UNKNOWN to a submit."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Our transaction, and the answer that showed it."""

    transaction: Transaction
    reply: Reply

    @property
    def reference(self) -> ProviderRef:
        return ProviderRef(self.transaction.id)

    @property
    def report(self) -> StatusReport:
        return report_of(
            self.transaction,
            call=self.reply.call,
            request=self.reply.request,
            answer=self.reply.evidence,
        )


@dataclass(frozen=True, slots=True)
class Submission:
    """One run of the three writes."""

    api: ThunesApi
    payers: Payers
    order: Order
    guard: SendGuard

    async def run(self) -> Outcome:
        """Take it as far as it goes."""
        payout = self.order.payout
        if payout.attempt_count > 1 or payout.provider_ref is not None:
            found = await self._existing()
            if isinstance(found, Outcome):
                return found
            if found is not None:
                return await self._go_on(found)
        return await self._quote()

    # ---- what is there already ---------------------------------------------------------------------

    async def _existing(self) -> _Seen | Outcome | None:
        """The transaction under our external id; None where there is none."""
        reply = await self.api.get("/transactions/ext-{}", self.order.external_id)
        found = self._ours(reply)
        if found is not None or not is_absent(reply):
            return found or _not_begun(reply)
        known = self.order.payout.provider_ref
        if known is None:
            return None
        # It was created once. Thunes' own "unknown" does not make that undone: never create another one.
        by_id = await self.api.get("/transactions/{}", known)
        return self._ours(by_id) or _unknown(
            by_id, "TRANSACTION_NOT_FOUND", "created before, and not found now"
        )

    async def _go_on(self, found: _Seen) -> Outcome:
        """Continue from the state of our transaction, as it was just read."""
        if found.transaction.is_created:
            return await self._confirm(found)
        return _as_outcome(found.report)

    async def _after_reading(self, otherwise: str) -> _Seen | Outcome:
        """What became of our transaction; where that cannot be read, nobody knows."""
        reply = await self.api.get("/transactions/ext-{}", self.order.external_id)
        return self._ours(reply) or _unknown(reply, otherwise, "it could not be read how it stands")

    def _ours(self, reply: Reply) -> _Seen | None:
        found = None if reply.found is None else read_transaction(reply.found)
        if found is None or found.external_id != self.order.external_id:
            return None
        return _Seen(found, reply)

    # ---- quotation ---------------------------------------------------------------------------------

    async def _quote(self) -> Outcome:
        rules = await self.payers.rules(self.order.payer_id)
        if isinstance(rules, Reply):
            if is_absent(rules):
                return _outcome(rules, OutcomeClass.BLOCKED, "PAYER_INVALID", "no such payer at Thunes")
            return _not_begun(rules)
        problem = rules.problem(self.order.amount, self.order.currency)
        if problem is not None:
            rule = "the payer's own precision, increment and currency; nothing was sent"
            return Outcome(kind=OutcomeClass.REJECTED, reason=problem, answer="nothing was sent", rule=rule)
        reply = await self.api.post("/quotations", guard=self.guard, body=self.order.quotation_body())
        if EXTERNAL_ID_USED in reply.codes:
            reply = await self.api.get("/quotations/ext-{}", self.order.quotation_id)
        if reply.found is None:
            return _refusal(reply)
        quotation = identifier(reply.found.get("id"))
        if quotation is None:
            return _unknown(reply, "ANSWER_UNREADABLE", "2xx without the id of a quotation")
        if not self._fixes_our_amount(reply.found):
            rule = "the quotation is not about the amount that it was asked for"
            return _outcome(reply, OutcomeClass.BLOCKED, "QUOTATION_DIFFERS", rule)
        return await self._create(quotation)

    def _fixes_our_amount(self, quotation: Mapping[str, Any]) -> bool:
        destination = quotation.get("destination")
        fixed = destination if isinstance(destination, dict) else {}
        amount = decimal_of(fixed.get("amount"))
        return amount == self.order.amount and fixed.get("currency") == self.order.currency

    # ---- transaction -------------------------------------------------------------------------------

    async def _create(self, quotation: str) -> Outcome:
        if not await self.guard.reached(CREATING):
            return Outcome(
                kind=OutcomeClass.NOT_SENT,
                reason="STEP_NOT_COMMITTED",
                answer="only a quotation was made",
                rule="nothing that could move money was sent",
            )
        headers = {SIMULATED: "true"} if self.api.settings.use_simulation else {}
        reply = await self.api.post(
            "/quotations/{}/transactions",
            quotation,
            guard=self.guard,
            body=self.order.transaction_body(),
            headers=headers,
        )
        if EXTERNAL_ID_USED in reply.codes:
            found = await self._after_reading("EXTERNAL_ID_USED")
            return found if isinstance(found, Outcome) else await self._go_on(found)
        created = self._ours(reply)
        if created is not None and created.transaction.is_created:
            return await self._confirm(created)
        if reply.found is not None:
            return _unknown(reply, "ANSWER_UNREADABLE", "2xx without our transaction, created")
        return _refusal(reply)

    # ---- confirm -----------------------------------------------------------------------------------

    async def _confirm(self, created: _Seen) -> Outcome:
        payout, transaction = self.order.payout, created.transaction
        differ = transaction.terms.differ_from(
            amount=payout.amount, currency=payout.currency, phone_e164=payout.phone_e164
        )
        if differ:
            return _kept(created, "TERMS_DIFFER", f"created with another {', '.join(differ)} than ours")
        if not await self.guard.reached(CONFIRMING, provider_ref=created.reference):
            return _kept(created, "STEP_NOT_COMMITTED", "created, and not confirmed by us")
        reply = await self.api.post("/transactions/{}/confirm", transaction.id, guard=self.guard)
        return replace(await self._confirmed(reply, transaction), provider_ref=created.reference)

    async def _confirmed(self, reply: Reply, transaction: Transaction) -> Outcome:
        """What the answer to a confirm means."""
        if reply.found is not None:
            return self._read_confirmed(reply)
        if reply.codes == (ALREADY_CONFIRMED,):
            return _outcome(
                reply, OutcomeClass.ACCEPTED, "ALREADY_CONFIRMED", "1007002: it was confirmed before"
            )
        if reply.codes == (INSUFFICIENT_BALANCE,):
            rule = "1007005: not moved; the same transaction is confirmed later"
            blocked = _outcome(reply, OutcomeClass.BLOCKED, "INSUFFICIENT_BALANCE", rule)
            return replace(blocked, shortfall=transaction.source)
        if reply.codes == (CANNOT_CONFIRM,):
            return await self._moved_on("CANNOT_CONFIRM")
        if QUOTATION_EXPIRED.issuperset(reply.codes) and reply.codes:
            return await self._give_up("QUOTATION_EXPIRED", again=True)
        known = meaning(reply.codes)
        if known is not None and known[0] is ErrorClass.TERMINAL:
            return await self._give_up(known[1], again=False)
        refusal = _refusal(reply)
        if refusal.kind is OutcomeClass.NOT_SENT:
            rule = "the confirm was not sent; the transaction waits for it"
            return replace(refusal, kind=OutcomeClass.UNKNOWN, rule=rule)
        return refusal

    def _read_confirmed(self, reply: Reply) -> Outcome:
        confirmed = self._ours(reply)
        if confirmed is None or confirmed.transaction.is_created:
            return _unknown(
                reply, "ANSWER_UNREADABLE", "2xx that does not say that our transaction is confirmed"
            )
        report = confirmed.report
        if report.finding is Finding.PAID:
            # Only a read by our external id confirms: this one is accepted, and read again.
            report = replace(report, finding=Finding.IN_FLIGHT)
        return _as_outcome(report)

    async def _moved_on(self, reason: str) -> Outcome:
        found = await self._after_reading(reason)
        if isinstance(found, Outcome):
            return found
        if found.transaction.is_created:
            return _kept(found, reason, "created, and Thunes does not let it be confirmed")
        return await self._go_on(found)

    # ---- give up -----------------------------------------------------------------------------------

    async def _give_up(self, reason: str, *, again: bool) -> Outcome:
        """Cancel what cannot be confirmed any more; only Thunes' own 40000 proves that it never will be."""
        found = await self._after_reading(reason)
        if isinstance(found, Outcome):
            return found
        if not found.transaction.is_created:
            return await self._go_on(found)
        if not await self.guard.reached(CANCELLING, provider_ref=found.reference):
            return _kept(found, reason, "created, and neither confirmed nor cancelled by us")
        reply = await self.api.post("/transactions/{}/cancel", found.transaction.id, guard=self.guard)
        cancelled = self._ours(reply)
        if cancelled is None or cancelled.transaction.status_class != "4":
            return _unknown(reply, reason, "it is not known whether it was cancelled")
        closed = _outcome(reply, OutcomeClass.REJECTED, reason, "cancelled unconfirmed, and seen as 40000")
        return replace(closed, retry_with_new_reference=again)


def is_absent(reply: Reply) -> bool:
    """Thunes says that there is no such thing; a 404 without its own code may be anybody's."""
    return bool(reply.codes) and NOT_FOUND.issuperset(reply.codes)


def _refusal(reply: Reply) -> Outcome:
    """What an answer that is no success means, by Thunes' own codes first."""
    if not isinstance(reply.result, Answered):
        return replace(failed_submit(reply.result, reply.call, *reply.secrets), request=reply.request)
    known = meaning(reply.codes)
    if known is None:
        return replace(unmapped_submit(reply.result, reply.call, *reply.secrets), request=reply.request)
    error_class, name = known
    rule = f"error {', '.join(reply.codes)}: class {error_class.value}"
    match error_class:
        case ErrorClass.TERMINAL:
            return _outcome(reply, OutcomeClass.REJECTED, name, rule)
        case ErrorClass.OPERATOR:
            return _outcome(reply, OutcomeClass.BLOCKED, name, rule)
        case _:
            return _unknown(reply, name, rule)


def _not_begun(reply: Reply) -> Outcome:
    """A read before the first write failed: of this submit, nothing has left."""
    refusal = _refusal(reply)
    match refusal.kind:
        case OutcomeClass.BLOCKED:
            return refusal
        case OutcomeClass.THROTTLED:
            rule = "429 to a read before the first write: nothing of the submit was sent"
            return replace(refusal, refused_before_processing=True, rule=rule)
        case _:
            rule = "a read before the first write failed: nothing of the submit was sent"
            return replace(refusal, kind=OutcomeClass.NOT_SENT, rule=rule)


def _as_outcome(report: StatusReport) -> Outcome:
    return Outcome(
        kind=_BY_FINDING.get(report.finding, OutcomeClass.UNKNOWN),
        reason=report.reason,
        provider_ref=report.provider_ref,
        retry_with_new_reference=report.retry_with_new_reference,
        terms=report.terms,
        call=report.call,
        request=report.request,
        answer=report.answer,
        rule=report.rule,
    )


def _outcome(reply: Reply, kind: OutcomeClass, reason: str, rule: str) -> Outcome:
    retry_after_s = reply.result.retry_after_s if isinstance(reply.result, Answered) else None
    return Outcome(
        kind=kind,
        reason=reason,
        call=reply.call,
        request=reply.request,
        answer=reply.evidence,
        rule=rule,
        retry_after_s=retry_after_s,
    )


def _unknown(reply: Reply, reason: str, rule: str) -> Outcome:
    if isinstance(reply.result, NotSent):
        return replace(_outcome(reply, OutcomeClass.UNKNOWN, reason, rule), answer="nothing was sent")
    return _outcome(reply, OutcomeClass.UNKNOWN, reason, rule)


def _kept(found: _Seen, reason: str, rule: str) -> Outcome:
    """A transaction is kept at Thunes, unconfirmed: a look-up finds it, and a resend goes on with it."""
    return Outcome(
        kind=OutcomeClass.UNKNOWN,
        reason=reason,
        provider_ref=found.reference,
        call=found.reply.call,
        request=found.reply.request,
        answer=found.reply.evidence,
        rule=rule,
    )
