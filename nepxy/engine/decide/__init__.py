"""The decision table: payout and event in, next state and effects out. Every money rule is enforced here.

| what happened | its rules are in |
| --- | --- |
| the payout's time has come; a place was granted; the database refused an intent | `time_rules` |
| a submit came to its next write, or was answered | `submit_rules` |
| a poll, a look-up or a webhook said something; a hint | `report_rules` |
| ... namely that the provider has it, or has paid it, or paid and took it back | `taken_rules` |
| ... or that it ended unpaid, which a refused submit says too | `unpaid_rules` |
| a client's wish; a defect on our side | `own_rules` |
| an operator's command | `operator_rules` |
| anything, after a restore from a backup | `restored_rules` |

What all of them share (the questions that may be asked of a payout, and the ways in which a decision ends) is in
`case`; what goes in and comes out is in `decision`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from nepxy.engine.decide import (
    operator_rules,
    own_rules,
    report_rules,
    restored_rules,
    submit_rules,
    time_rules,
)
from nepxy.engine.decide.case import Case
from nepxy.engine.decide.decision import NOT_UPDATED, STEP_COMMITTED, Decision, Policy
from nepxy.engine.events import (
    CancelRequested,
    Command,
    CrashedTooOften,
    DueReached,
    Event,
    IntentRefused,
    OperatorAsked,
    ProviderRefRefused,
    SlotGranted,
    StatusReported,
    StepReached,
    SubmitAnswered,
)
from nepxy.engine.evidence import Discrepancy, Evidence
from nepxy.engine.payout import Payout, ProviderRef, Status

__all__ = [
    "NOT_UPDATED",
    "STEP_COMMITTED",
    "Decision",
    "Discrepancy",
    "Evidence",
    "Policy",
    "commands_for",
    "decide",
    "second_person_needed",
]


def decide(payout: Payout, event: Event, *, now: datetime, policy: Policy, jitter: float) -> Decision:
    """Decide what an event means for a payout as last committed.

    Total: every pair of state and event has an answer, and "nothing changes, because" is one. It takes the clock and
    the dice as arguments and touches nothing. What it returns only counts once the journal has committed it; effects
    are performed after that, never before (money rules 1 and 2).

    Args:
        payout: the row as last committed.
        event: what happened.
        now: aware, UTC.
        policy: the payout's provider as configured now.
        jitter: uniform in [0, 1).

    Raises:
        InvariantViolation: only where our own code went wrong; nothing that a provider or client says leads there.
    """
    case = Case(payout=payout, now=now, policy=policy, jitter=jitter)
    presumption = restored_rules.presumption(case)
    if presumption is not None:
        return restored_rules.presumed_sent(case, presumption, event)
    match event:
        case DueReached():
            return time_rules.due(case)
        case SlotGranted(work=work):
            return time_rules.slot_granted(case, work)
        case IntentRefused(reason=reason):
            return time_rules.intent_refused(case, reason)
        case StepReached():
            return submit_rules.step_reached(case, event)
        case SubmitAnswered():
            return _with_their_name(case, submit_rules.submit_answered(case, event))
        case StatusReported():
            return _with_their_name(case, report_rules.status_reported(case, event))
        case ProviderRefRefused():
            return own_rules.provider_ref_refused(case, event)
        case CrashedTooOften(detail=detail):
            return own_rules.crashed_too_often(case, detail)
        case CancelRequested():
            return own_rules.cancel_requested(case)
        case OperatorAsked():
            return operator_rules.operator_asked(case, event)
        case _:
            assert_never(event)


def commands_for(payout: Payout, *, now: datetime, policy: Policy) -> tuple[Command, ...]:
    """The operator commands that mean anything for this payout now; arguments as for `decide`."""
    return operator_rules.valid_commands(Case(payout=payout, now=now, policy=policy, jitter=0.0))


def second_person_needed(payout: Payout, command: Command, *, now: datetime, policy: Policy) -> bool:
    """Whether this command wants another operator's approval; arguments as for `decide`."""
    case = Case(payout=payout, now=now, policy=policy, jitter=0.0)
    return operator_rules.needs_second_person(case, command)


def _with_their_name(case: Case, decision: Decision) -> Decision:
    """Whatever else a word of the provider leads to, its name for the current reference is kept (money rule 9).

    By that name it is polled, and later webhooks may use no other.
    """
    payout, evidence = decision.payout, decision.evidence
    if payout is case.payout or evidence is None or evidence.provider_ref is None:
        return decision
    speaks_of_now = evidence.reference == payout.submission_ref == case.payout.submission_ref
    if case.their_name is not None or not speaks_of_now or payout.status is Status.PENDING:
        return decision
    return replace(decision, payout=replace(payout, provider_ref=ProviderRef(evidence.provider_ref)))
