"""Retry and poll times stay within their bounds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nepxy.engine.retry import RetryPolicy, next_poll_at, next_retry_at
from nepxy.errors import InvariantViolation
from tests.factories import NOW

POLICY = RetryPolicy()


@pytest.mark.parametrize(("failures", "wait_s"), [(1, 15), (2, 30), (3, 60), (5000, 1800)])
def test_the_wait_doubles_with_each_failure_up_to_the_cap(failures: int, wait_s: int) -> None:
    assert next_retry_at(NOW, failures, POLICY, 0.5) == NOW + timedelta(seconds=wait_s)


def test_what_the_provider_asks_for_is_waited_out_but_never_beyond_the_cap() -> None:
    assert next_retry_at(NOW, 1, POLICY, 0.0, retry_after_s=99) == NOW + timedelta(seconds=99)
    assert next_retry_at(NOW, 1, POLICY, 0.0, retry_after_s=1e9) == NOW + timedelta(seconds=3600)


def test_nothing_is_retried_that_has_not_failed() -> None:
    with pytest.raises(InvariantViolation):
        next_retry_at(NOW, 0, POLICY, 0.5)


@pytest.mark.parametrize(("age_s", "wait_s"), [(-5, 60), (0, 60), (1000, 500), (86_400, 3600)])
def test_an_older_payout_is_asked_about_less_often(age_s: int, wait_s: int) -> None:
    since = NOW - timedelta(seconds=age_s)
    assert next_poll_at(NOW, since, POLICY, 0.0) == NOW + timedelta(seconds=wait_s)
