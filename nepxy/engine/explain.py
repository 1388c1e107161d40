"""Why a payout is where it is, and what happens next and when: a sentence or two for its client and for operators.

Pure, and read-only: it decides nothing. Its twin is `decide`: a reason that is new there needs its words here, and a
test walks all of them. Never says a phone number or an amount.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from nepxy.config.masking import mask_text
from nepxy.engine.capabilities import Capabilities, WebhookTrust
from nepxy.engine.payout import Payout, Status

REASON_BYTES_MAX: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderNow:
    """What holds for the payout's provider at this moment, as far as it decides what happens next."""

    capabilities: Capabilities | None = None
    """None: no account of it is configured here."""
    paused_reason: str | None = None
    """Why submits to it are paused; None: they are not."""
    retries_paused_reason: str | None = None
    """Why nothing that was tried before is sent again; None: retries go on."""
    resumes_with_balance: bool = False
    """Paused for want of money of ours, and resumed by the engine once it is there."""
    held: bool = False
    """The database was restored from a backup, and no operator has released the engine since."""
    breaker_open: bool = False
    """It failed so often that calls wait until it is tried again."""
    held_until: datetime | None = None
    """Until when it asked for silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a payout is where it is, in parts."""

    why: str
    what_next: str
    next_at: datetime | None
    """When that happens by itself; None: it does not, or nobody can say."""
    blockers: tuple[str, ...]
    """What stands in the way of it now, a sentence each."""


NOTHING_KNOWN: Final = ProviderNow(capabilities=Capabilities())


def explain(payout: Payout, *, now: datetime, provider: ProviderNow = NOTHING_KNOWN) -> str:
    """Say why the payout is in its state, what happens next and when.

    Args:
        payout: as last committed.
        now: aware, UTC.
        provider: what is known of its provider now.

    Returns:
        One or two sentences in English; a reason that nobody foresaw gets its state's general words.
    """
    words = _Words(payout, now, provider)
    match payout.status:
        case Status.PENDING:
            return f"{words.pending()} {words.next_submit()}"
        case Status.SENT:
            return f"{words.sent()} {words.next_question()}"
        case Status.REVIEW:
            return f"{words.review()} {words.next_question()}"
        case Status.CONFIRMED:
            return words.confirmed()
        case Status.FAILED:
            return words.failed()
        case Status.CANCELLED:
            return words.cancelled()
        case _:
            assert_never(payout.status)


def explained(
    payout: Payout,
    *,
    now: datetime,
    provider: ProviderNow = NOTHING_KNOWN,
    unresolved_count: int = 0,
    discrepancies: Sequence[str] = (),
) -> Explanation:
    """The same in parts, for operators.

    Args:
        payout: as last committed.
        now: aware, UTC.
        provider: what is known of its provider now.
        unresolved_count: attempts of it of which nobody knows whether they paid.
        discrepancies: the kinds of those that are open over it.
    """
    words = _Words(payout, now, provider)
    against_reopening = words.against_reopening(unresolved_count, discrepancies)
    if payout.status.is_final:
        return Explanation(
            why=explain(payout, now=now, provider=provider),
            what_next="Nothing more happens by itself.",
            next_at=None,
            blockers=against_reopening,
        )
    pending = payout.status is Status.PENDING
    cause = words.sent if payout.status is Status.SENT else words.review
    return Explanation(
        why=words.pending() if pending else cause(),
        what_next=words.next_submit() if pending else words.next_question(),
        next_at=words.submit_at() if pending else words.question_at(),
        blockers=(*words.blockers(), *against_reopening),
    )


PENDING: Final[Mapping[str, str]] = {
    "ACCEPTED": "It is accepted and has not been sent yet.",
    "NOT_SENT": "The last attempt did not reach {provider}, so no money moved.",
    "THROTTLED": "{provider} turned the last attempt away unread because it gets too many, so no money moved.",
    "BLOCKED": "{provider} refuses payouts until an operator acts (balance, credentials, allow-list); no money moved.",
    "RETRY_WITH_NEW_REFERENCE": "{provider} ended the last attempt unpaid, and a new attempt may succeed.",
    "RELEASED": "An operator released it from review.",
    "ABSENT_AFTER_RESTORE": (
        "The database was restored from a backup, so {provider} was asked first: it does not know this payout."
    ),
    "REOPENED": "It had failed, and an operator reopened it: it is tried again under a new reference.",
}

SENT: Final[Mapping[str, str]] = {
    "ATTEMPT_STARTED": "It is being sent to {provider}, and the answer has not come yet.",
    "RESEND_STARTED": "It is being sent to {provider} once more under the same reference, which cannot pay it twice.",
    "ANSWER_LOST": "It was sent to {provider}, and the answer was lost: it may be paid or not.",
    "IN_DOUBT": "It was sent to {provider}, and no clear answer came back: it may be paid or not.",
    "DUPLICATE_REFERENCE": (
        "{provider} says that it had our reference before, so an earlier attempt arrived: it may be paid or not."
    ),
    "REPEAT_REFUSED": (
        "{provider} refused a repeated attempt, which says nothing about the earlier one: it may be paid or not."
    ),
    "TAKEN_THEN_ABSENT": "{provider} had taken it, and says now that it does not know it: it may be paid or not.",
    "ACCEPTED_BY_PROVIDER": "{provider} has taken it and has not settled it yet.",
    "ADOPTED": "{provider} knows our reference although our records said that nothing was sent; it is being followed.",
    "RESTORED": (
        "The database was restored from a backup, and {provider} may have got it before that: it may be paid or not."
    ),
    "MAYBE_REPOSTED": (
        "The database was restored from a backup that may have lost an earlier post of this payout, "
        "so {provider} is asked before it is sent."
    ),
    "RELEASED": "An operator released it from review; it may be paid or not, and the engine follows it again.",
}

REVIEW: Final[Mapping[str, str]] = {
    "ACCOUNT_CHANGED": (
        "It was sent through another account at {provider} than the one that is configured now, "
        "so nobody can ask about it."
    ),
    "UNRESOLVED": "Nobody could say whether {provider} took it, and sending it again might pay it twice.",
    "TERMS_DIFFER": "{provider} has our reference with other terms (amount, currency or number) than ours.",
    "OLDER_REFERENCE_PAID": "{provider} says that it paid an older attempt which it had called failed.",
    "FAILURE_BESIDE_UNRESOLVED": "{provider} refused a repeated attempt while an earlier one is unresolved.",
    "CRASHED_TOO_OFTEN": "Handling it failed again and again on our side, so the engine leaves it alone.",
    "ABSENT_UNPROVEN": "{provider} does not know our reference, which proves nothing by itself.",
    "UNFINISHED": "{provider} has it begun and waits for our last step, which may still be on its way.",
    "TAKEN_THEN_ABSENT": "{provider} had taken it, and goes on saying that it does not know it.",
    "OVERDUE": "{provider} took it, and had not settled it when it expired.",
    "PROVIDER_REF_TAKEN": "{provider} calls it by a reference that another payout has, so one of the two is mistaken.",
    "REVERSED": "{provider} says that it paid it and took the money back.",
}

STEP: Final = "STEP_"
"""How a reason in SENT begins that names the step which a submit of several writes has come to."""

FAILED: Final[Mapping[str, str]] = {
    "EXPIRED": "It expired{settled} before {provider} took it, so no money moved; nothing more happens.",
    "FAILED_BY_OPERATOR": "An operator found at {provider} that it was not paid, and ended it{settled}.",
}


@dataclass(frozen=True, slots=True)
class _Words:
    """The parts of the sentences, over one payout at one moment."""

    payout: Payout
    now: datetime
    provider: ProviderNow

    def pending(self) -> str:
        return self._said(PENDING, "It waits to be sent to {provider} ({reason}).")

    def sent(self) -> str:
        if self.payout.status_reason.startswith(STEP):
            return self._said(
                {},
                "It is being sent to {provider} in several steps ({reason}), and the answer has not come yet.",
            )
        return self._said(SENT, "It is with {provider} ({reason}).")

    def review(self) -> str:
        cause = self._said(REVIEW, "Something happened that the engine may not decide by itself ({reason}).")
        return f"{cause} A person must find out, and then confirm or fail it."

    def confirmed(self) -> str:
        by_a_person = self.payout.status_reason == "CONFIRMED_BY_OPERATOR"
        found = f"An operator found that {self.payout.provider}" if by_a_person else self.payout.provider
        return f"{found} paid it{self.settled()}; nothing more happens."

    def failed(self) -> str:
        known = FAILED.get(self.payout.status_reason)
        if known is not None:
            return known.format(provider=self.payout.provider, settled=self.settled())
        after = (
            "a new payout may succeed"
            if self.payout.retryable
            else "correct the cause before making a new payout"
        )
        text = "{provider} did not pay it{settled} ({reason}); it is not tried again: {after}."
        return text.format(
            provider=self.payout.provider, settled=self.settled(), reason=self._reason(), after=after
        )

    def cancelled(self) -> str:
        who = "An operator" if self.payout.status_reason == "CANCELLED_BY_OPERATOR" else "The client"
        return f"{who} cancelled it before anything was sent{self.settled()}; no money moved."

    def blockers(self) -> tuple[str, ...]:
        """What holds up what comes next, as far as it is known here."""
        payout, provider = self.payout, self.provider
        paused = provider.paused_reason is not None and payout.status is Status.PENDING
        awaited = self._answer_is_due_later and payout.answer_by is not None
        silent = provider.held_until is not None and provider.held_until > self.now
        known = (
            (provider.capabilities is None, f"No account of {payout.provider} is configured here."),
            (paused, f"{payout.provider} is paused: {_safe(provider.paused_reason or '')}."),
            (self._retry_is_held, f"{self._retries_paused()}."),
            (
                provider.breaker_open,
                f"{payout.provider} failed too often, so calls wait until it is tried again.",
            ),
            (
                provider.held and payout.status is Status.PENDING,
                "The database was restored from a backup: nothing is sent until an operator releases the engine.",
            ),
            (silent, f"{payout.provider} asked for silence until {_clock(provider.held_until or self.now)}."),
            (
                awaited,
                f"The last attempt's own answer may come until {_clock(payout.answer_by or self.now)}: "
                "nobody asks or sends again before.",
            ),
            (
                payout.repeat_barred,
                "Its reference must not be sent again: what was learned of it forbids that.",
            ),
            (
                payout.status is Status.REVIEW and self.now >= payout.expires_at,
                f"It expired at {_clock(payout.expires_at)}, so nothing of it is sent any more.",
            ),
        )
        return tuple(text for holds, text in known if holds)

    def against_reopening(self, unresolved_count: int, discrepancies: Sequence[str]) -> tuple[str, ...]:
        """What the database would refuse a new reference for, and what an operator should know in any case."""
        kinds = ", ".join(sorted(set(discrepancies)))
        texts = []
        if unresolved_count and self.payout.status.is_final:
            texts.append("An attempt of it is unresolved, so it cannot be reopened.")
        if kinds:
            texts.append(f"A discrepancy is open over it ({kinds}): it must be resolved and closed first.")
        return tuple(texts)

    def submit_at(self) -> datetime | None:
        payout, provider = self.payout, self.provider
        if self.now >= payout.expires_at:
            return self.now
        if provider.capabilities is None or provider.paused_reason is not None or provider.held:
            return None
        if self._retry_is_held:
            return None
        later = payout.attempt_count > 0 and payout.next_retry_at is not None
        return max(payout.next_retry_at or self.now, self.now) if later else self.now

    def question_at(self) -> datetime | None:
        payout, provider = self.payout, self.provider
        if payout.status_reason == "ACCOUNT_CHANGED" or provider.capabilities is None:
            return None
        if self._answer_is_due_later:
            return payout.answer_by
        if self._retry_is_held:
            return payout.expires_at
        if not self._can_be_asked:
            waits = payout.status is Status.SENT and self.now < payout.expires_at
            return payout.expires_at if waits else None
        return max(payout.next_retry_at or self.now, self.now)

    def next_submit(self) -> str:
        payout, provider = self.payout, self.provider
        limit = f"if it cannot be sent by {_clock(payout.expires_at)}, it fails and nothing is paid"
        if self.now >= payout.expires_at:
            return f"It expired at {_clock(payout.expires_at)} and is about to fail; nothing is paid."
        if provider.capabilities is None:
            return f"No account of {payout.provider} is configured here: an operator must set it up; {limit}."
        if provider.held:
            return (
                "Nothing is sent since the database was restored from a backup, until an operator releases the "
                f"engine; {limit}."
            )
        if provider.paused_reason is not None:
            cause = _safe(provider.paused_reason)
            why = f" ({cause})" if cause else ""
            balance = "the balance there is back, or " if provider.resumes_with_balance else ""
            return (
                f"{payout.provider} is paused{why}: it is sent once {balance}an operator resumes it; {limit}."
            )
        if self._retry_is_held:
            return f"{self._retries_paused()}; {limit}."
        if payout.attempt_count > 0 and payout.next_retry_at is not None and payout.next_retry_at > self.now:
            return f"It is sent again by itself {self._at(payout.next_retry_at)}; {limit}."
        return f"It is sent as soon as {payout.provider} has a place for it; {limit}."

    def next_question(self) -> str:
        payout, provider = self.payout, self.provider
        if payout.status_reason == "ACCOUNT_CHANGED":
            return f"It moves on when that account is configured again, or when {payout.provider} reports it."
        if provider.capabilities is None:
            return (
                f"No account of {payout.provider} is configured here to ask it: an operator must set one up."
            )
        webhook = provider.capabilities.webhooks is not WebhookTrust.NONE
        waits = f", or as soon as {payout.provider} reports it" if webhook else ""
        if self._answer_is_due_later and payout.answer_by is not None:
            return f"An answer may come until {_clock(payout.answer_by)}; after that it is looked into."
        if self._retry_is_held:
            return f"{self._retries_paused()}{waits}."
        if not self._can_be_asked:
            told = f"It moves on when {payout.provider} reports it" if webhook else "It is kept in view"
            until = f", or when a person looks at it after {_clock(payout.expires_at)}"
            limit = until if payout.status is Status.SENT and self.now < payout.expires_at else ""
            return f"{told}{limit}; {payout.provider} cannot be asked about it."
        when = self._at(payout.next_retry_at) if payout.next_retry_at is not None else "soon"
        return f"{payout.provider} is asked again {when}{waits}."

    def settled(self) -> str:
        return f" at {_clock(self.payout.settled_at)}" if self.payout.settled_at is not None else ""

    @property
    def _answer_is_due_later(self) -> bool:
        payout = self.payout
        waiting = payout.status is Status.SENT and payout.is_unresolved
        return waiting and payout.answer_by is not None and self.now < payout.answer_by

    @property
    def _can_be_asked(self) -> bool:
        return self._has_a_question or self._can_be_repeated

    @property
    def _has_a_question(self) -> bool:
        """Whether the provider can be asked without sending anything again."""
        capabilities, payout = self.provider.capabilities, self.payout
        if capabilities is None or not payout.is_at_provider:
            return False
        by_theirs = payout.provider_ref is not None and capabilities.status_by_provider_ref
        return by_theirs or capabilities.lookup_by_reference

    @property
    def _can_be_repeated(self) -> bool:
        """Repeating is the engine's alone: in REVIEW a person decides."""
        capabilities, payout = self.provider.capabilities, self.payout
        if capabilities is None or not payout.is_at_provider or payout.status is not Status.SENT:
            return False
        return capabilities.resend_allowed and payout.is_unresolved and not payout.repeat_barred

    @property
    def _retry_is_held(self) -> bool:
        """Whether what comes next would be sent a second time, and operators have stopped that."""
        if self.provider.retries_paused_reason is None or self.now >= self.payout.expires_at:
            return False
        if self.payout.status is Status.PENDING:
            return self.payout.attempt_count > 0
        return self._can_be_repeated and not self._has_a_question

    def _retries_paused(self) -> str:
        cause = _safe(self.provider.retries_paused_reason or "")
        why = f" ({cause})" if cause else ""
        return (
            f"Retries to {self.payout.provider} are paused{why}: "
            "it is sent again once an operator gives resume_retries"
        )

    def _said(self, known: Mapping[str, str], otherwise: str) -> str:
        text = known.get(self.payout.status_reason, otherwise)
        return text.format(provider=self.payout.provider, reason=self._reason())

    def _reason(self) -> str:
        return _safe(self.payout.status_reason)

    def _at(self, moment: datetime) -> str:
        """`at 2026-11-24 10:05:00 UTC (in 4 min)`; `now` for what is due already."""
        wait_s = (moment - self.now).total_seconds()
        return f"at {_clock(moment)} (in {_duration(wait_s)})" if wait_s >= 1 else "now"


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _safe(text: str) -> str:
    """Words of a provider or an operator, without numbers that might be somebody's."""
    return mask_text(text, REASON_BYTES_MAX)


_UNITS: Final[tuple[tuple[float, str, Callable[[float], float]], ...]] = (
    (120, "s", lambda wait_s: wait_s),
    (2 * 3600, "min", lambda wait_s: wait_s / 60),
    (48 * 3600, "h", lambda wait_s: wait_s / 3600),
)


def _duration(wait_s: float) -> str:
    for limit_s, unit, scaled in _UNITS:
        if wait_s < limit_s:
            return f"{scaled(wait_s):.0f} {unit}"
    return f"{wait_s / 86_400:.0f} days"
