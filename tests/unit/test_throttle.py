"""Token buckets: how often somebody may ask, by a clock that the test owns."""

import pytest

from nepxy.errors import RateLimited, TooManyTries
from nepxy.http.throttle import (
    PAIR_FAILURES_MAX,
    WIDE_FAILURES_MAX,
    Buckets,
    ClientLimit,
    LoginLimit,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_bucket_gives_its_burst_at_once_and_then_at_its_pace() -> None:
    clock = Clock()
    buckets = Buckets(per_s=2, burst=3, clock=clock)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now_s += 0.5
    assert buckets.take("a") == 0
    assert buckets.take("a") > 0


def test_one_keys_bucket_is_no_other_keys() -> None:
    buckets = Buckets(per_s=1, burst=1, clock=Clock())
    assert (buckets.take("a"), buckets.take("b")) == (0, 0)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    clock = Clock()
    buckets = Buckets(per_s=10, burst=2, clock=clock)
    buckets.take("a")
    buckets.give_back("a")
    buckets.give_back("a")
    clock.now_s += 60
    assert [buckets.take("a") == 0 for _ in range(3)] == [True, True, False]


def test_only_so_many_keys_are_remembered_and_the_oldest_goes_first() -> None:
    buckets = Buckets(per_s=1, burst=1, clock=Clock(), keys_max=3)
    for key in "abcd":
        buckets.take(key)
    assert len(buckets) == 3
    assert buckets.take("d") > 0
    assert buckets.take("a") == 0


def test_a_client_may_send_twice_its_pace_at_once_and_no_more() -> None:
    limit = ClientLimit(2, clock=Clock())
    for _ in range(4):
        limit.check("shop")
    with pytest.raises(RateLimited) as refused:
        limit.check("shop")
    assert refused.value.headers() == {"Retry-After": "1"}
    limit.check("other")


def test_no_limit_is_no_limit() -> None:
    limit = ClientLimit(0, clock=Clock())
    for _ in range(10_000):
        limit.check("shop")


def test_ten_wrong_secrets_from_one_place_are_answered_and_the_next_is_not_looked_at() -> None:
    clock = Clock()
    limit = LoginLimit(clock=clock)
    for _ in range(PAIR_FAILURES_MAX):
        limit.begin("awa", "192.0.2.1")
    with pytest.raises(TooManyTries) as refused:
        limit.begin("awa", "192.0.2.1")
    assert refused.value.headers() == {"Retry-After": "6"}
    clock.now_s += 6
    limit.begin("awa", "192.0.2.1")


def test_a_stranger_who_guesses_does_not_lock_the_owner_out() -> None:
    limit = LoginLimit(clock=Clock())
    for _ in range(PAIR_FAILURES_MAX):
        limit.begin("awa", "198.51.100.7")
    limit.begin("awa", "192.0.2.1")


def test_guesses_from_many_places_at_one_identity_end_too() -> None:
    limit = LoginLimit(clock=Clock())
    for n in range(WIDE_FAILURES_MAX):
        limit.begin("awa", f"198.51.100.{n}")
    with pytest.raises(TooManyTries):
        limit.begin("awa", "192.0.2.1")


def test_guesses_at_many_identities_from_one_place_end_too() -> None:
    limit = LoginLimit(clock=Clock())
    for n in range(WIDE_FAILURES_MAX):
        limit.begin(f"client-{n}", "198.51.100.7")
    with pytest.raises(TooManyTries):
        limit.begin("one more", "198.51.100.7")


def test_right_credentials_cost_nothing() -> None:
    limit = LoginLimit(clock=Clock())
    for _ in range(10 * WIDE_FAILURES_MAX):
        limit.begin("awa", "192.0.2.1").forgive()


def test_a_throttled_try_is_not_held_against_the_others() -> None:
    limit = LoginLimit(clock=Clock())
    for _ in range(PAIR_FAILURES_MAX):
        limit.begin("awa", "192.0.2.1")
    for _ in range(2 * WIDE_FAILURES_MAX):
        with pytest.raises(TooManyTries):
            limit.begin("awa", "192.0.2.1")
    limit.begin("awa", "192.0.2.2")
