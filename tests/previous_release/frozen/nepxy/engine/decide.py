"""The decision table: payout and event in, next state and effects out. Every money rule is enforced here.

`decide` is total: every pair of state and event has an answer, and "nothing changes, because" is one.
It takes the clock and the dice as arguments and touches nothing. What it returns only counts once the
journal has committed it; effects are performed after that, never before (money rules 1 and 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from nepxy.engine.capabilities import Capabilities
from nepxy.engine.effects import (
    Ask,
    DecideAgain,
    Effect,
    GiveBackSlot,
    PauseProvider,
    Postpone,
    RequestSlot,
    SlowDown,
    Submit,
    WakeAt,
)
from nepxy.engine.events import (
    CancelRequested,
    CrashedTooOften,
    DueReached,
    Event,
    IntentRefused,
    SlotGranted,
    StatusReported,
    SubmitAnswered,
    Work,
)
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, ReportedTerms, StatusReport
from nepxy.engine.payout import Payout, ProviderRef, Status, SubmissionRef
from nepxy.engine.references import submission_ref
from nepxy.engine.retry import RetryPolicy, next_poll_at, next_retry_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for one provider now: its contract, its numbers, and the account that is configured."""

    capabilities: Capabilities
    retry: RetryPolicy
    account: str | None
    """The configured account's fingerprint; None: no account is configured here."""
    installation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What proved a transition (money rule 5); texts are masked and bounded."""

    source: str
    reference: str | None = None
    attempt: int | None = None
    provider_ref: str | None = None
    call: str = ""
    answer: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """The provider and we disagree about something that money hangs on."""

    kind: str
    """Stable code, as `PAID_AFTER_FAILED`."""
    detail: str
    """One sentence for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from one event.

    `payout` differs from the one decided on if and only if a transition is to be committed; then
    `evidence` says why. `answer` is for whoever caused the event.
    """

    payout: Payout
    evidence: Evidence | None = None
    effects: tuple[Effect, ...] = ()
    discrepancy: Discrepancy | None = None
    answer: str = "APPLIED"
    """`APPLIED`, or the code of why nothing changed: `ALREADY_CONFIRMED`, `NOT_UPDATED`, ..."""
    is_intent: bool = field(default=False)
    """An attempt begins: the database checks pause, expiry, epoch and `answer_by` once more."""


NOT_UPDATED = "NOT_UPDATED"

KEEPS_REVIEW_OPEN = frozenset({"OLDER_REFERENCE_PAID", "TERMS_DIFFER", "FAILURE_BESIDE_UNRESOLVED"})
"""Reasons for REVIEW that a provider's "unpaid" does not answer: money may have moved besides."""


def decide(payout: Payout, event: Event, *, now: datetime, policy: Policy, jitter: float) -> Decision:
    """Decide what an event means for a payout as last committed.

    Args:
        payout: the row as last committed.
        event: what happened.
        now: aware, UTC.
        policy: the payout's provider as configured now.
        jitter: uniform in [0, 1).

    Raises:
        InvariantViolation: only where our own code went wrong; nothing that a provider or client says leads there.
    """
    table = _Table(payout, now, policy, jitter)
    match event:
        case DueReached():
            return table.due()
        case SlotGranted(work=work):
            return table.slot_granted(work)
        case IntentRefused(reason=reason):
            return table.intent_refused(reason)
        case SubmitAnswered():
            return table.submit_answered(event)
        case StatusReported():
            return table.status_reported(event)
        case CrashedTooOften(detail=detail):
            return table.crashed_too_often(detail)
        case CancelRequested():
            return table.cancel_requested()
        case _:
            assert_never(event)


@dataclass(frozen=True, slots=True)
class _Table:
    """The rules, over one payout at one moment."""

    payout: Payout
    now: datetime
    policy: Policy
    jitter: float

    # ---- time and places ---------------------------------------------------------------------------

    def due(self) -> Decision:
        match self.payout.status:
            case Status.PENDING:
                return self._due_pending()
            case Status.SENT | Status.REVIEW:
                return self._due_at_provider()
            case Status.CONFIRMED | Status.FAILED | Status.CANCELLED:
                return self._nothing()
            case _:
                assert_never(self.payout.status)

    def _due_pending(self) -> Decision:
        payout = self.payout
        if self._expired:
            return self._expire()
        waiting = (
            payout.attempt_count > 0 and payout.next_retry_at is not None and payout.next_retry_at > self.now
        )
        if waiting:
            return self._nothing(self._wake())
        return self._nothing(RequestSlot(work=Work.SUBMIT))

    def _due_at_provider(self) -> Decision:
        payout = self.payout
        if self._account_changed and payout.status is Status.SENT:
            # Money rule 10: never look a payout up, or send it, through another account than it was sent by.
            return self._review(
                "ACCOUNT_CHANGED",
                "It was sent through another provider account than the one configured now: "
                "restore that account, or settle it by hand with the provider's statement.",
                self._clock_evidence("rule 10: account differs"),
            )
        if self._nobody_to_ask:
            return self._nothing(Postpone(until=self._poll_time()))
        if payout.provider_ref is not None:
            if self.policy.capabilities.status_by_provider_ref:
                return self._nothing(RequestSlot(work=Work.POLL))
            return self._nothing(Postpone(until=self._poll_time()))
        if payout.answer_by is not None and self.now < payout.answer_by:
            return self._nothing(WakeAt(at=payout.answer_by))
        if payout.in_doubt_since is None and payout.status is Status.SENT:
            # The answer never came back to us: a crash or a stop lay between.
            return self._in_doubt(
                "ANSWER_LOST",
                "The answer to the last attempt was lost.",
                self._clock_evidence("answer_by passed"),
            )
        return self._resolve_doubt()

    def _resolve_doubt(self) -> Decision:
        """What may be done about an unresolved attempt, by the provider's contract (money rule 4)."""
        if self.policy.capabilities.lookup_by_reference:
            return self._nothing(RequestSlot(work=Work.LOOKUP))
        if self._may_resend:
            return self._nothing(RequestSlot(work=Work.RESEND))
        if self.payout.status is Status.REVIEW:
            return self._nothing(Postpone(until=self._poll_time()))
        settle_at = self._settle_at(self.policy.retry.settle_s)
        if self.now < settle_at:
            return self._nothing(Postpone(until=min(settle_at, self._poll_time())))
        return self._review(
            "UNRESOLVED",
            "Nobody can say whether the provider took it, and this provider offers no safe way to ask or to repeat: "
            "check the provider's portal for our reference, then confirm or fail it.",
            self._clock_evidence("rule 4: no look-up, no safe resend"),
        )

    def slot_granted(self, work: Work) -> Decision:
        payout = self.payout
        match work:
            case Work.SUBMIT:
                if payout.status is not Status.PENDING:
                    return self._nothing(GiveBackSlot())
                if self._expired:
                    return replace(self._expire(), effects=(GiveBackSlot(),))
                if self.policy.account is None:
                    return self._nothing(GiveBackSlot(), Postpone(until=self._poll_time()))
                return self._begin_attempt("ATTEMPT_STARTED")
            case Work.RESEND:
                if not self._may_resend or self._nobody_to_ask:
                    return self._nothing(GiveBackSlot())
                return self._begin_attempt("RESEND_STARTED")
            case Work.LOOKUP:
                asked = payout.is_unresolved and self.policy.capabilities.lookup_by_reference
            case Work.POLL:
                asked = payout.provider_ref is not None and not payout.status.is_final
            case _:
                assert_never(work)
        if not asked or self._nobody_to_ask:
            return self._nothing(GiveBackSlot())
        return self._nothing(Ask(work=work))

    def _begin_attempt(self, reason: str) -> Decision:
        payout, retry = self.payout, self.policy.retry
        attempt = payout.attempt_count + 1
        answer_by = self.now + timedelta(seconds=retry.answer_window_s)
        due = max(answer_by, payout.next_retry_at or answer_by)
        begun = payout.moved(
            Status.SENT,
            reason,
            attempt_count=attempt,
            last_attempt_at=self.now,
            answer_by=answer_by,
            account=self.policy.account,
            # Left alone where it is late enough: an indexed column that a hot update need not change.
            next_retry_at=due,
        )
        return Decision(
            payout=begun,
            evidence=Evidence(
                source="engine", reference=payout.submission_ref, attempt=attempt, rule="rule 2: intent"
            ),
            effects=(Submit(reference=payout.submission_ref, attempt=attempt),),
            is_intent=True,
        )

    def intent_refused(self, reason: str) -> Decision:
        if self.payout.status.is_final:
            return self._nothing(GiveBackSlot())
        if reason == "EXPIRED" and self.payout.status is Status.PENDING:
            return replace(self._expire(), effects=(GiveBackSlot(),))
        return self._nothing(GiveBackSlot(), Postpone(until=self._retry_time(1)))

    # ---- the answer to a submit --------------------------------------------------------------------

    def submit_answered(self, event: SubmitAnswered) -> Decision:
        payout, outcome = self.payout, event.outcome
        evidence = Evidence(
            source="submit",
            reference=event.reference,
            attempt=event.attempt,
            provider_ref=outcome.provider_ref,
            call=outcome.call,
            answer=outcome.answer,
            rule=outcome.rule,
        )
        taken = outcome.kind in (OutcomeClass.ACCEPTED, OutcomeClass.CONFIRMED)
        if taken:
            finding = Finding.PAID if outcome.kind is OutcomeClass.CONFIRMED else Finding.IN_FLIGHT
            return self._taken(
                finding, event.reference, outcome.provider_ref, outcome.terms, evidence, event, outcome.reason
            )
        current = event.reference == payout.submission_ref and event.attempt == payout.attempt_count
        if not current or payout.status is not Status.SENT or payout.provider_ref is not None:
            # A negative answer settles nothing but the attempt that it belongs to, and that one is history.
            return self._nothing(answer=self._already())
        if outcome.kind is OutcomeClass.UNKNOWN:
            return self._unknown(outcome, evidence)
        if outcome.kind is OutcomeClass.THROTTLED and not outcome.refused_before_processing:
            decision = self._unknown(outcome, evidence)
            return replace(
                decision, effects=(*decision.effects, SlowDown(retry_after_s=outcome.retry_after_s))
            )
        if payout.in_doubt_since is not None:
            # An earlier submit of this reference is unresolved: this answer speaks of the last one only.
            return self._refused_beside_doubt(outcome, evidence)
        return self._refused(outcome, evidence)

    def _unknown(self, outcome: Outcome, evidence: Evidence) -> Decision:
        reason = "DUPLICATE_REFERENCE" if outcome.reference_was_used else "IN_DOUBT"
        return self._in_doubt(reason, f"No clear answer to the last attempt ({outcome.reason}).", evidence)

    def _in_doubt(self, reason: str, text: str, evidence: Evidence) -> Decision:
        payout = self.payout
        look_at = max(self.now, payout.answer_by or self.now)
        if payout.in_doubt_since is not None:
            look_at = max(look_at, self._poll_time())
        doubtful = payout.moved(
            Status.SENT,
            reason,
            in_doubt_since=payout.in_doubt_since or self.now,
            next_retry_at=look_at,
            last_error=f"{text} Being looked into; it is not sent again without proof.",
        )
        return Decision(payout=doubtful, evidence=evidence, effects=(WakeAt(at=look_at),))

    def _refused_beside_doubt(self, outcome: Outcome, evidence: Evidence) -> Decision:
        effects: tuple[Effect, ...] = ()
        if outcome.kind is OutcomeClass.BLOCKED:
            effects = (PauseProvider(reason=outcome.reason),)
        if outcome.kind is OutcomeClass.THROTTLED:
            effects = (SlowDown(retry_after_s=outcome.retry_after_s),)
        if outcome.kind is OutcomeClass.REJECTED:
            return self._review(
                "FAILURE_BESIDE_UNRESOLVED",
                f"The repeated attempt was refused ({outcome.reason}), yet an earlier one is unresolved: "
                "check the provider's portal for our reference, then confirm or fail it.",
                evidence,
            )
        later = self._retry_time(self.payout.counted_attempts, outcome.retry_after_s)
        doubtful = self.payout.moved(
            Status.SENT,
            "IN_DOUBT",
            unreached_count=self.payout.unreached_count + 1,
            next_retry_at=later,
            last_error=f"The repeated attempt did not get through ({outcome.reason}); an earlier one is unresolved.",
        )
        return Decision(payout=doubtful, evidence=evidence, effects=(*effects, WakeAt(at=later)))

    def _refused(self, outcome: Outcome, evidence: Evidence) -> Decision:
        """The attempt is proven not to have moved money, and it is the only one."""
        match outcome.kind:
            case OutcomeClass.NOT_SENT:
                return self._back_to_pending(outcome, evidence, "NOT_SENT", "Nothing was sent")
            case OutcomeClass.THROTTLED:
                back = self._back_to_pending(
                    outcome, evidence, "THROTTLED", "The provider is asking for less"
                )
                return replace(back, effects=(*back.effects, SlowDown(retry_after_s=outcome.retry_after_s)))
            case OutcomeClass.BLOCKED:
                back = self._back_to_pending(
                    outcome, evidence, "BLOCKED", "The provider waits for an operator"
                )
                return replace(back, effects=(PauseProvider(reason=outcome.reason), *back.effects))
            case _:
                return self._failed(outcome.reason, evidence, again=outcome.retry_with_new_reference)

    def _back_to_pending(self, outcome: Outcome, evidence: Evidence, reason: str, text: str) -> Decision:
        """Proven not processed: the same reference may be used, and no try is used up."""
        payout = self.payout
        unreached = payout.unreached_count + 1
        if self._expired:
            return self._expire(evidence)
        later = min(self._retry_time(unreached, outcome.retry_after_s), payout.expires_at)
        waiting = payout.moved(
            Status.PENDING,
            reason,
            unreached_count=unreached,
            next_retry_at=later,
            answer_by=None,
            account=None,
            last_error=f"{text} ({outcome.reason}); it is tried again by itself.",
        )
        return Decision(payout=waiting, evidence=evidence, effects=(WakeAt(at=later),))

    # ---- what the provider says of a reference -----------------------------------------------------

    def status_reported(self, event: StatusReported) -> Decision:
        payout, report = self.payout, event.report
        evidence = Evidence(
            source=event.source.value,
            reference=event.reference,
            attempt=payout.attempt_count or None,
            provider_ref=report.provider_ref,
            call=report.call,
            answer=report.answer,
            rule=report.rule,
        )
        if not event.trusted:
            return self._hinted()
        match report.finding:
            case Finding.PAID | Finding.IN_FLIGHT:
                return self._taken(
                    report.finding,
                    event.reference,
                    report.provider_ref,
                    report.terms,
                    evidence,
                    event,
                    report.reason,
                )
            case Finding.UNPAID:
                return self._unpaid(event, evidence)
            case Finding.REVERSED:
                return self._reversed(evidence)
            case Finding.ABSENT:
                return self._absent(report, evidence)
            case Finding.NO_ANSWER:
                return self._no_answer(report, evidence)
            case _:
                assert_never(report.finding)

    def _hinted(self) -> Decision:
        payout = self.payout
        if payout.status.is_final:
            return self._nothing(answer=self._already())
        if payout.status is Status.PENDING or self._nobody_to_ask:
            return self._nothing(answer=NOT_UPDATED)
        by_theirs = payout.provider_ref is not None and self.policy.capabilities.status_by_provider_ref
        by_ours = payout.is_unresolved and self.policy.capabilities.lookup_by_reference
        if by_theirs or by_ours:
            return self._nothing(
                RequestSlot(work=Work.POLL if by_theirs else Work.LOOKUP), answer=NOT_UPDATED
            )
        return self._nothing(answer=NOT_UPDATED)

    def _taken(
        self,
        finding: Finding,
        reference: SubmissionRef,
        provider_ref: ProviderRef | None,
        terms: ReportedTerms,
        evidence: Evidence,
        event: Event,
        reason: str,
    ) -> Decision:
        """The provider has, or has paid, one of our references."""
        payout = self.payout
        paid = finding is Finding.PAID
        differ = terms.differ_from(
            amount=payout.amount, currency=payout.currency, phone_e164=payout.phone_e164
        )
        if payout.status.is_final:
            return self._taken_after_final(paid, reference, differ, evidence)
        if reference != payout.submission_ref:
            return self._older_reference_taken(paid, reference, evidence)
        if differ:
            text = f"The provider has our reference with another {', '.join(differ)} than ours."
            return self._review("TERMS_DIFFER", text, evidence, Discrepancy(kind="TERMS_DIFFER", detail=text))
        if payout.status is Status.PENDING:
            return self._adopt_unsent(evidence, event)
        if (
            paid
            and payout.status is Status.REVIEW
            and payout.status_reason in ("OLDER_REFERENCE_PAID", "TERMS_DIFFER")
        ):
            text = "The provider says that it paid this, after it had paid, or held, something else for this payout."
            return self._nothing(
                discrepancy=Discrepancy(kind="PAID_BESIDE_OTHER", detail=text),
                evidence=evidence,
                answer=NOT_UPDATED,
            )
        if paid:
            return self._settle(
                Status.CONFIRMED,
                reason,
                evidence,
                provider_ref=payout.provider_ref or provider_ref,
                last_error=None,
            )
        return self._in_flight(provider_ref, evidence)

    def _in_flight(self, provider_ref: ProviderRef | None, evidence: Evidence) -> Decision:
        payout = self.payout
        learned = (
            payout.provider_ref is None and provider_ref is not None
        ) or payout.in_doubt_since is not None
        if not learned:
            return self._nothing(Postpone(until=self._poll_time()), answer=NOT_UPDATED)
        poll_at = next_poll_at(self.now, payout.last_attempt_at or self.now, self.policy.retry, self.jitter)
        if payout.status is Status.REVIEW:
            # It stays with a person (REVIEW -> SENT is theirs), now with a reference that polling can use.
            known = payout.moved(
                Status.REVIEW,
                payout.status_reason,
                provider_ref=payout.provider_ref or provider_ref,
                next_retry_at=poll_at,
            )
        else:
            known = payout.moved(
                Status.SENT,
                "ACCEPTED_BY_PROVIDER",
                provider_ref=payout.provider_ref or provider_ref,
                in_doubt_since=None,
                next_retry_at=poll_at,
                last_error=None,
            )
        return Decision(payout=known, evidence=evidence, effects=(WakeAt(at=poll_at),))

    def _adopt_unsent(self, evidence: Evidence, event: Event) -> Decision:
        """The provider knows a reference that our row says was not sent: a restored backup, or a wrong "not sent"."""
        payout = self.payout
        adopted = payout.moved(
            Status.SENT,
            "ADOPTED",
            attempt_count=max(payout.attempt_count, 1),
            last_attempt_at=payout.last_attempt_at or self.now,
            account=self.policy.account or "unknown",
            in_doubt_since=self.now,
            next_retry_at=self._poll_time(),
        )
        return Decision(payout=adopted, evidence=evidence, effects=(DecideAgain(event=event),))

    def _older_reference_taken(self, paid: bool, reference: SubmissionRef, evidence: Evidence) -> Decision:
        if not paid:
            return self._nothing(answer=NOT_UPDATED)
        text = (
            f"The provider says that it paid our older reference {reference}, which it had called failed: "
            "find out which of the references moved money before anything else is done."
        )
        discrepancy = Discrepancy(kind="OLDER_REFERENCE_PAID", detail=text)
        if self.payout.status is Status.REVIEW and self.payout.status_reason == "OLDER_REFERENCE_PAID":
            return self._nothing(answer=NOT_UPDATED, discrepancy=discrepancy, evidence=evidence)
        return self._review("OLDER_REFERENCE_PAID", text, evidence, discrepancy)

    def _taken_after_final(
        self, paid: bool, reference: SubmissionRef, differ: tuple[str, ...], evidence: Evidence
    ) -> Decision:
        payout = self.payout
        kind = None
        if paid and payout.status is not Status.CONFIRMED:
            kind = f"PAID_AFTER_{payout.status.value}"
        elif paid and reference != payout.submission_ref:
            kind = "OLDER_REFERENCE_PAID"
        elif paid and differ:
            kind = "TERMS_DIFFER"
        if kind is None:
            return self._nothing(answer=self._already())
        text = (
            f"The payout is {payout.status.value}, and the provider says that it paid reference {reference}."
        )
        return self._nothing(
            answer=self._already(), discrepancy=Discrepancy(kind=kind, detail=text), evidence=evidence
        )

    def _unpaid(self, event: StatusReported, evidence: Evidence) -> Decision:
        payout, report = self.payout, event.report
        if payout.status is Status.CONFIRMED and event.reference == payout.submission_ref:
            text = f"The payout is CONFIRMED, and the provider says that it is unpaid ({report.reason})."
            discrepancy = Discrepancy(kind="UNPAID_AFTER_CONFIRMED", detail=text)
            return self._nothing(answer=self._already(), discrepancy=discrepancy, evidence=evidence)
        if payout.status.is_final:
            return self._nothing(answer=self._already())
        if payout.status is Status.PENDING or event.reference != payout.submission_ref:
            return self._nothing(answer=NOT_UPDATED)
        names_another = report.provider_ref is not None and payout.provider_ref not in (
            None,
            report.provider_ref,
        )
        if names_another or (payout.status is Status.REVIEW and payout.status_reason in KEEPS_REVIEW_OPEN):
            return self._nothing(Postpone(until=self._poll_time()), answer=NOT_UPDATED)
        return self._failed(report.reason, evidence, again=report.retry_with_new_reference)

    def _failed(self, reason: str, evidence: Evidence, *, again: bool) -> Decision:
        """Proven unpaid. Either a new generation, or the end; never FAILED while policy would retry (rule 6)."""
        payout = self.payout
        tries_left = payout.counted_attempts < self.policy.retry.attempts_max
        if again and tries_left and not self._expired and payout.status is Status.SENT:
            generation = payout.generation + 1
            later = min(self._retry_time(payout.counted_attempts), payout.expires_at)
            renewed = payout.moved(
                Status.PENDING,
                "RETRY_WITH_NEW_REFERENCE",
                generation=generation,
                submission_ref=submission_ref(
                    installation_id=self.policy.installation_id,
                    client_id=payout.client_id,
                    idempotency_key=payout.idempotency_key,
                    generation=generation,
                ),
                provider_ref=None,
                in_doubt_since=None,
                answer_by=None,
                account=None,
                next_retry_at=later,
                last_error=f"The provider ended the last attempt unpaid ({reason}); it is tried again by itself.",
            )
            return Decision(payout=renewed, evidence=evidence, effects=(WakeAt(at=later),))
        return self._settle(
            Status.FAILED,
            reason,
            evidence,
            retryable=again,
            last_error=f"The provider did not pay it: {reason}.",
        )

    def _reversed(self, evidence: Evidence) -> Decision:
        text = f"The payout is {self.payout.status.value}, and the provider says that it took the money back."
        return self._nothing(
            answer=self._already(), discrepancy=Discrepancy(kind="REVERSED", detail=text), evidence=evidence
        )

    def _absent(self, report: StatusReport, evidence: Evidence) -> Decision:
        payout = self.payout
        if not payout.is_unresolved:
            return self._no_answer(report, evidence)
        if self._may_resend and payout.status is Status.SENT:
            return self._nothing(RequestSlot(work=Work.RESEND))
        settled = self.now >= self._settle_at(
            max(self.policy.retry.settle_s, self.policy.capabilities.absent_counts_after_s)
        )
        if settled and payout.status is Status.SENT:
            return self._review(
                "ABSENT_UNPROVEN",
                "The provider does not know our reference, which proves nothing by itself, and it may not be "
                "sent again without proof: check the provider's portal, then confirm, fail or release it.",
                evidence,
            )
        return self._nothing(Postpone(until=self._poll_time()))

    def _no_answer(self, report: StatusReport, evidence: Evidence) -> Decision:
        payout = self.payout
        if payout.status is Status.SENT and payout.is_unresolved and self._expired:
            return self._review(
                "UNRESOLVED",
                "The provider could not say what became of our reference until this payout expired: "
                "ask it, then confirm or fail it.",
                evidence,
            )
        if payout.status.is_final or payout.status is Status.PENDING:
            return self._nothing(answer=self._already() if payout.status.is_final else NOT_UPDATED)
        return self._nothing(Postpone(until=self._poll_time(report.retry_after_s)), answer=NOT_UPDATED)

    # ---- wishes ------------------------------------------------------------------------------------

    def cancel_requested(self) -> Decision:
        payout = self.payout
        if payout.status is Status.CANCELLED:
            return self._nothing(answer="ALREADY_CANCELLED")
        if payout.status is not Status.PENDING:
            return self._nothing(answer="PAYOUT_NOT_CANCELLABLE")
        return self._settle(
            Status.CANCELLED,
            "CANCELLED_BY_CLIENT",
            Evidence(source="client", rule="rule 6: nothing was sent"),
            retryable=False,
        )

    def crashed_too_often(self, detail: str) -> Decision:
        if self.payout.status.is_final or self.payout.status is Status.REVIEW:
            return self._nothing(answer=self._already())
        return self._review(
            "CRASHED_TOO_OFTEN",
            f"Its actor crashed again and again ({detail}): it is left alone until a person has looked.",
            self._clock_evidence("restart intensity exceeded"),
        )

    # ---- shared endings ----------------------------------------------------------------------------

    @property
    def _expired(self) -> bool:
        return self.now >= self.payout.expires_at

    @property
    def _account_changed(self) -> bool:
        """Sent through one account, and another one is configured; none configured is merely "not now"."""
        return self.policy.account is not None and self.payout.account not in (None, self.policy.account)

    @property
    def _nobody_to_ask(self) -> bool:
        return self.policy.account is None or self.payout.account is None or self._account_changed

    @property
    def _may_resend(self) -> bool:
        payout = self.payout
        return (
            self.policy.capabilities.resend_allowed
            and payout.is_unresolved
            and payout.status is Status.SENT
            and payout.in_doubt_since is not None
            # "Repeated" proves that the reference was used; repeating it again proves nothing more.
            and payout.status_reason != "DUPLICATE_REFERENCE"
            and payout.counted_attempts < self.policy.retry.attempts_max
            and not self._expired
            and (payout.answer_by is None or self.now >= payout.answer_by)
        )

    def _settle_at(self, after_s: float) -> datetime:
        payout = self.payout
        start = payout.answer_by or payout.in_doubt_since or self.now
        return start + timedelta(seconds=after_s)

    def _poll_time(self, retry_after_s: float | None = None) -> datetime:
        payout = self.payout
        since = payout.last_attempt_at or payout.created_at
        return next_poll_at(self.now, since, self.policy.retry, self.jitter, retry_after_s=retry_after_s)

    def _retry_time(self, failures: int, retry_after_s: float | None = None) -> datetime:
        return next_retry_at(
            self.now, max(1, failures), self.policy.retry, self.jitter, retry_after_s=retry_after_s
        )

    def _wake(self) -> WakeAt:
        return WakeAt(at=self.payout.next_retry_at or self.now)

    def _already(self) -> str:
        return f"ALREADY_{self.payout.status.value}" if self.payout.status.is_final else NOT_UPDATED

    def _nothing(
        self,
        *effects: Effect,
        answer: str = NOT_UPDATED,
        discrepancy: Discrepancy | None = None,
        evidence: Evidence | None = None,
    ) -> Decision:
        return Decision(
            payout=self.payout, effects=effects, answer=answer, discrepancy=discrepancy, evidence=evidence
        )

    def _clock_evidence(self, rule: str) -> Evidence:
        payout = self.payout
        return Evidence(
            source="clock", reference=payout.submission_ref, attempt=payout.attempt_count or None, rule=rule
        )

    def _expire(self, evidence: Evidence | None = None) -> Decision:
        return self._settle(
            Status.FAILED,
            "EXPIRED",
            evidence or self._clock_evidence("expires_at passed with no attempt unresolved"),
            retryable=False,
            last_error=f"It expired before the provider took it. Last problem: {self.payout.last_error or 'none'}",
        )

    def _settle(self, to: Status, reason: str, evidence: Evidence, **changes: Any) -> Decision:
        settled = self.payout.moved(
            to, reason, settled_at=self.now, next_retry_at=None, in_doubt_since=None, **changes
        )
        return Decision(payout=settled, evidence=evidence)

    def _review(
        self, reason: str, text: str, evidence: Evidence, discrepancy: Discrepancy | None = None
    ) -> Decision:
        payout = self.payout
        later = self._poll_time()
        reviewed = payout.moved(
            Status.REVIEW,
            reason,
            next_retry_at=later,
            retryable=False,
            last_error=text,
            in_doubt_since=payout.in_doubt_since or self.now,
        )
        return Decision(
            payout=reviewed, evidence=evidence, effects=(WakeAt(at=later),), discrepancy=discrepancy
        )
