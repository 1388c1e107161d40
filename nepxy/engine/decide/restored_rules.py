"""After a restore from a backup: what looks unsent may have been sent (docs/decisions/0009-restored-database.md).

What the engine then does is nothing new: such a payout is moved to SENT and in doubt, where the rules for what is in
doubt apply to it (money rule 4). Only a payout that looks new is taken for new again, once the provider was asked.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from nepxy.engine.decide.case import Case
from nepxy.engine.decide.decision import Decision
from nepxy.engine.effects import DecideAgain, WakeAt
from nepxy.engine.events import Event
from nepxy.engine.evidence import Evidence
from nepxy.engine.payout import Status

RESTORED: Final = "RESTORED"
"""The reason of a payout whose row came out of the backup: it was most likely sent since."""
MAYBE_REPOSTED: Final = "MAYBE_REPOSTED"
"""The reason of one that looks new: its client may have posted it before, and the backup had lost that."""
ABSENT_AFTER_RESTORE: Final = "ABSENT_AFTER_RESTORE"
"""The reason of one that looked new, and that the provider does not know."""

SETTLES_IT: Final = frozenset({"NOT_SENT", "THROTTLED", "BLOCKED", ABSENT_AFTER_RESTORE})
"""Reasons in PENDING that say of the current reference itself that it was not processed. After any other the
reference may be one that was used in the time that is lost, a later generation's too."""


def presumption(case: Case) -> str | None:
    """Why this payout, PENDING by its row, must be taken for sent; None: it need not."""
    payout, restored = case.payout, case.policy.restored
    if restored is None or payout.status is not Status.PENDING:
        return None
    tried_since = payout.last_attempt_at is not None and payout.last_attempt_at >= restored.at
    if payout.created_at < restored.at and not tried_since:
        return RESTORED
    in_time = restored.doubt_until is None or case.now < restored.doubt_until
    return MAYBE_REPOSTED if in_time and payout.status_reason not in SETTLES_IT else None


def presumed_sent(case: Case, reason: str, event: Event) -> Decision:
    """It counts as sent, and nobody knows what became of it; then the same event is decided on that."""
    payout, restored = case.payout, case.policy.restored
    since = max(case.now, restored.at) if restored is not None else case.now
    presumed = payout.moved(
        Status.SENT,
        reason,
        attempt_count=payout.attempt_count + 1,
        last_attempt_at=since,
        account=case.policy.account or "unknown",
        # Whoever sent it lived before the restore: no answer of theirs can reach us any more.
        answer_by=case.now,
        in_doubt_since=case.now,
        next_retry_at=case.now,
        last_error="The database was restored from a backup, so this may have been sent before; it is being looked "
        "into, and it is not sent again without proof.",
    )
    return Decision(
        payout=presumed,
        evidence=Evidence(
            source="engine",
            reference=payout.submission_ref,
            attempt=presumed.attempt_count,
            rule="rule 4: the database was restored",
        ),
        effects=(DecideAgain(event=event),),
        presumes_attempt=True,
    )


def is_new_after_all(case: Case) -> bool:
    """Whether "I know no such reference" is enough to send this for the first time.

    Only where its row is younger than the restore: a submit that nobody remembers was made before that, and the lag
    of the provider's look-ups, counted from there, is over.
    """
    payout, restored = case.payout, case.policy.restored
    if restored is None or payout.status is not Status.SENT or payout.status_reason != MAYBE_REPOSTED:
        return False
    lag_s = max(case.policy.retry.settle_s, case.policy.capabilities.absent_counts_after_s)
    return case.now >= restored.at + timedelta(seconds=lag_s)


def first_send(case: Case, evidence: Evidence) -> Decision:
    """The provider was asked, and does not know it: it is what it looked like, a new payout."""
    payout = case.payout
    if case.expired:
        return case.expire(evidence, problem="The provider did not know it after the restore")
    fresh = payout.moved(
        Status.PENDING,
        ABSENT_AFTER_RESTORE,
        unreached_count=payout.unreached_count + 1,
        provider_ref=None,
        in_doubt_since=None,
        answer_by=None,
        account=None,
        next_retry_at=case.now,
        last_error=None,
    )
    return Decision(payout=fresh, evidence=evidence, effects=(WakeAt(at=case.now),))
