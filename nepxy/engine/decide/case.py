"""One payout at one moment: what may be done about it, and the ways in which a decision about it ends.

The rules are in the modules beside; here is what several of them ask or answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from nepxy.engine.decide.decision import NOT_UPDATED, Decision, Policy
from nepxy.engine.effects import Effect, Postpone, RequestSlot, WakeAt
from nepxy.engine.events import Work
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.payout import Payout, ProviderRef, Status
from nepxy.engine.retry import next_poll_at, next_retry_at

ONLY_A_PERSON_SETTLES: Final = frozenset({"OLDER_REFERENCE_PAID", "TERMS_DIFFER", "PROVIDER_REF_TAKEN"})
"""Reasons for REVIEW that a provider's "paid" does not answer either: it may speak of something else."""

KEEPS_REVIEW_OPEN: Final = ONLY_A_PERSON_SETTLES | {"FAILURE_BESIDE_UNRESOLVED"}
"""Reasons for REVIEW that a provider's "unpaid" does not answer: money may have moved besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A payout as last committed, with the time, the policy and the dice of this decision."""

    payout: Payout
    now: datetime
    policy: Policy
    jitter: float

    # ---- what holds --------------------------------------------------------------------------------

    @property
    def expired(self) -> bool:
        """Whether its time is over: nothing is submitted any more."""
        return self.now >= self.payout.expires_at

    @property
    def long_expired(self) -> bool:
        """Whether there was time enough since then to ask the provider once more, and its answer is not here."""
        grace = timedelta(seconds=self.policy.retry.poll_cap_s)
        return self.now >= self.payout.expires_at + grace and not self.answer_is_awaited

    @property
    def account_changed(self) -> bool:
        """Sent through one account, and another one is configured; none configured is merely "not now"."""
        return self.policy.account is not None and self.payout.account not in (None, self.policy.account)

    @property
    def nobody_to_ask(self) -> bool:
        """Whether the account that it was sent through is not there to ask (money rule 10)."""
        return self.policy.account is None or self.payout.account is None or self.account_changed

    @property
    def their_name(self) -> ProviderRef | None:
        """What the provider calls it; our own reference given back is no name of theirs."""
        name, ours = self.payout.provider_ref, str(self.payout.submission_ref)
        return None if name is not None and str(name) == ours else name

    @property
    def other_attempts_may_be_unresolved(self) -> bool:
        """Whether a word about "the payout" may speak of an earlier attempt than the one whose answer is still out."""
        return self.payout.is_unresolved and self.payout.attempt_count > 1

    @property
    def held_for_a_person(self) -> bool:
        """Whether it is in REVIEW for a reason that no word of the provider answers."""
        return self.payout.status is Status.REVIEW and self.payout.status_reason in ONLY_A_PERSON_SETTLES

    # ---- what may be done --------------------------------------------------------------------------

    @property
    def question(self) -> Work | None:
        """How the provider can be asked about the current reference: by its own name for it first, else by ours.

        While nobody knows whether it was taken, by ours first: a step's name for it need not be the only one.
        """
        return self._way_to_ask if self.payout.is_at_provider else None

    @property
    def question_after_end(self) -> Work | None:
        """The same of one that is CONFIRMED or FAILED: asked only where a hint says that this was not the end."""
        ended = self.payout.status in (Status.CONFIRMED, Status.FAILED)
        return self._way_to_ask if ended else None

    @property
    def _way_to_ask(self) -> Work | None:
        payout, capabilities = self.payout, self.policy.capabilities
        if self.nobody_to_ask:
            return None
        by_theirs = payout.provider_ref is not None and capabilities.status_by_provider_ref
        if by_theirs and (payout.is_taken or not capabilities.lookup_by_reference):
            return Work.POLL
        return Work.LOOKUP if capabilities.lookup_by_reference else None

    @property
    def answer_is_awaited(self) -> bool:
        """The last attempt's own answer may still come: until then nobody looks up or resends (money rule 2)."""
        payout = self.payout
        return payout.is_unresolved and payout.answer_by is not None and self.now < payout.answer_by

    def asking_soon(self) -> tuple[Effect, ...]:
        """The effects that have the provider asked as soon as the rules let it; none where it cannot be asked."""
        question = self.question
        if question is None:
            return ()
        if self.answer_is_awaited and self.payout.answer_by is not None:
            return (WakeAt(at=self.payout.answer_by),)
        return (RequestSlot(work=question),)

    @property
    def held(self) -> bool:
        """Whether the database was restored, and no operator has released the engine since: nothing is submitted."""
        return self.policy.restored is not None and self.policy.restored.held

    @property
    def may_resend(self) -> bool:
        """Whether the same reference may be sent again now."""
        return self.repeat_is_harmless and not self.held

    @property
    def repeat_is_harmless(self) -> bool:
        """Whether the same reference may be sent again by itself: only where that cannot pay twice (money rule 4)."""
        payout = self.payout
        return (
            self.policy.capabilities.resend_allowed
            and not self.nobody_to_ask
            and payout.status is Status.SENT
            and payout.is_unresolved
            and payout.in_doubt_since is not None
            and not payout.repeat_barred
            and payout.counted_attempts < self.policy.retry.attempts_max
            and not self.expired
            and payout.answer_by is not None
            and self.now >= payout.answer_by
        )

    # ---- when --------------------------------------------------------------------------------------

    @property
    def settle_at(self) -> datetime:
        """Until when a word from the provider is waited for before silence counts."""
        return self._after_doubt(self.policy.retry.settle_s)

    @property
    def absent_counts_at(self) -> datetime:
        """From when on "I know no such reference" is no longer mere lag."""
        return self._after_doubt(
            max(self.policy.retry.settle_s, self.policy.capabilities.absent_counts_after_s)
        )

    def _after_doubt(self, wait_s: float) -> datetime:
        payout = self.payout
        # What is taken has its answer: there the doubt began later, with the contradiction.
        since = payout.in_doubt_since if payout.is_taken else payout.answer_by or payout.in_doubt_since
        return (since or self.now) + timedelta(seconds=wait_s)

    def poll_time(self, retry_after_s: float | None = None) -> datetime:
        """When to ask again."""
        since = self.payout.last_attempt_at or self.payout.created_at
        return next_poll_at(self.now, since, self.policy.retry, self.jitter, retry_after_s=retry_after_s)

    def retry_time(self, failures: int, retry_after_s: float | None = None) -> datetime:
        """When to try again."""
        return next_retry_at(
            self.now, max(1, failures), self.policy.retry, self.jitter, retry_after_s=retry_after_s
        )

    # ---- how a decision ends -----------------------------------------------------------------------

    def already(self) -> str:
        """What the sender of an event that changes nothing is answered."""
        return f"ALREADY_{self.payout.status.value}" if self.payout.status.is_final else NOT_UPDATED

    def nothing(
        self,
        *effects: Effect,
        answer: str = NOT_UPDATED,
        discrepancy: Discrepancy | None = None,
        evidence: Evidence | None = None,
    ) -> Decision:
        """No transition; what is to be kept nevertheless is kept beside the payout."""
        return Decision(
            payout=self.payout, effects=effects, answer=answer, discrepancy=discrepancy, evidence=evidence
        )

    def later(
        self,
        *,
        retry_after_s: float | None = None,
        discrepancy: Discrepancy | None = None,
        evidence: Evidence | None = None,
    ) -> Decision:
        """Nothing was learned: where the engine follows it by itself, it looks again later."""
        # While the last attempt's own answer may come, the due time is that of the answer already.
        waits = self.payout.status in (Status.SENT, Status.REVIEW) and not self.answer_is_awaited
        effects = (Postpone(until=self.poll_time(retry_after_s)),) if waits else ()
        return self.nothing(*effects, answer=self.already(), discrepancy=discrepancy, evidence=evidence)

    def stays(self, evidence: Evidence, discrepancy: Discrepancy) -> Decision:
        """It cannot be settled by what was said, and is not SENT for ever over it."""
        if self.expired and self.payout.status is Status.SENT:
            return self.overdue(evidence, discrepancy=discrepancy)
        return self.later(discrepancy=discrepancy, evidence=evidence)

    def noted(self, why: str, evidence: Evidence, *effects: Effect, **changes: Any) -> Decision:
        """A fact that moves nothing gets its row in the history all the same (money rule 8)."""
        payout = self.payout
        if payout.status.is_final:
            return self.nothing(*effects, answer=self.already())
        noted = payout.moved(payout.status, payout.status_reason, **changes)
        return Decision(payout=noted, evidence=evidence, effects=effects, answer=NOT_UPDATED, noted_as=why)

    def clock_evidence(self, rule: str) -> Evidence:
        """Nobody said anything: time alone led to it."""
        payout = self.payout
        return Evidence(
            source="clock", reference=payout.submission_ref, attempt=payout.attempt_count or None, rule=rule
        )

    def settle(self, to: Status, reason: str, evidence: Evidence, **changes: Any) -> Decision:
        """The end."""
        settled = self.payout.moved(
            to, reason, settled_at=self.now, next_retry_at=None, in_doubt_since=None, **changes
        )
        return Decision(payout=settled, evidence=evidence)

    def expire(self, evidence: Evidence | None = None, *, problem: str | None = None) -> Decision:
        """It ends unpaid because its time is over and no attempt of it is unresolved."""
        # Texts put the problem before the first ";" and what follows from it, which is over now, after it.
        last = problem or (self.payout.last_error or "none").partition(";")[0]
        return self.settle(
            Status.FAILED,
            "EXPIRED",
            evidence or self.clock_evidence("expires_at passed with no attempt unresolved"),
            retryable=False,
            last_error=f"It expired before the provider took it; make a new payout if it is still wanted. "
            f"Last problem: {last}.",
        )

    def review(
        self,
        reason: str,
        text: str,
        evidence: Evidence,
        discrepancy: Discrepancy | None = None,
        **changes: Any,
    ) -> Decision:
        """A person must look; the engine goes on asking, and takes what it hears."""
        payout = self.payout
        later = self.poll_time()
        reviewed = payout.moved(
            Status.REVIEW,
            reason,
            next_retry_at=later,
            retryable=False,
            last_error=text,
            in_doubt_since=payout.in_doubt_since or self.now,
            **changes,
        )
        return Decision(
            payout=reviewed, evidence=evidence, effects=(WakeAt(at=later),), discrepancy=discrepancy
        )

    def overdue(
        self, evidence: Evidence, *, discrepancy: Discrepancy | None = None, **changes: Any
    ) -> Decision:
        """Its time is over, and the provider has not ended it: no payout is SENT for ever."""
        if self.payout.is_taken:
            return self.review(
                "OVERDUE",
                "The provider took it, and had not settled it when it expired: ask the provider for its end, then "
                "confirm or fail it. The engine goes on asking meanwhile, and takes the answer.",
                evidence,
                discrepancy,
                **changes,
            )
        return self.review(
            "UNRESOLVED",
            "The provider could not say what became of our reference until this payout expired: "
            "ask it, then confirm or fail it.",
            evidence,
            discrepancy,
            **changes,
        )
