"""When to try again and when to ask again: arithmetic only; the caller brings the clock and the dice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from nepxy.errors import InvariantViolation


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """One provider's numbers; all durations in seconds. Defaults as on the design page."""

    base_s: float = 30.0
    factor: float = 2.0
    cap_s: float = 3600.0
    attempts_max: int = 5
    poll_base_s: float = 60.0
    poll_cap_s: float = 3600.0
    send_window_s: float = 5.0
    """From the intent's commit to the last moment at which its request may be written to a socket."""
    answer_window_s: float = 30.0
    """From the intent's commit to `answer_by`: send window, HTTP time-out and a margin."""
    settle_s: float = 900.0
    """How long after `answer_by` an unresolved attempt waits for a word from the provider before REVIEW."""


def next_retry_at(
    now: datetime, failures: int, policy: RetryPolicy, jitter: float, *, retry_after_s: float | None = None
) -> datetime:
    """When this payout may be submitted again; with full jitter, so that a burst of failures spreads out.

    Source: design page, "Retries"; full jitter spreads best (docs/decisions/0004-retry-jitter.md).

    Args:
        now: aware, UTC.
        failures: failures in a row so far, from 1.
        policy: `base_s`, `factor` and `cap_s`, in seconds.
        jitter: uniform in [0, 1); drawn by the caller, so that this stays pure.
        retry_after_s: what the provider asked for, in seconds; it is waited out, up to `cap_s`.

    Returns:
        UTC, in [now, now + policy.cap_s].

    Raises:
        InvariantViolation: `failures` is 0: nothing failed, so there is nothing to wait for.
    """
    if failures < 1:
        raise InvariantViolation(
            "RETRY_WITHOUT_FAILURE", "a retry time was asked for, yet nothing has failed"
        )
    # The exponent is bounded: 2.0 ** 1100 is an OverflowError, long after the cap has won.
    ceiling_s = min(policy.cap_s, policy.base_s * policy.factor ** min(failures - 1, 64))
    wait_s = jitter * ceiling_s
    if retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, policy.cap_s))
    return now + timedelta(seconds=wait_s)


def next_poll_at(
    now: datetime, since: datetime, policy: RetryPolicy, jitter: float, *, retry_after_s: float | None = None
) -> datetime:
    """When to ask again about a payout that the provider has had since `since`.

    The wait grows with age (half of it), between `poll_base_s` and `poll_cap_s`: a young payout is asked
    about every minute, a day-old one every hour. A tenth of jitter keeps a batch from marching in step.

    Args:
        now, since: aware, UTC.
        policy: `poll_base_s`, `poll_cap_s`, in seconds.
        jitter: uniform in [0, 1).
        retry_after_s: what the provider asked for, in seconds; it is waited out, up to `poll_cap_s`.

    Returns:
        UTC, in [now + poll_base_s, now + 1.1 * poll_cap_s].
    """
    age_s = max(0.0, (now - since).total_seconds())
    wait_s = min(max(age_s / 2, policy.poll_base_s), policy.poll_cap_s) * (1 + jitter / 10)
    if retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, policy.poll_cap_s))
    return now + timedelta(seconds=wait_s)
