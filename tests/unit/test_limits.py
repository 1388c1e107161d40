"""A client's limits: what counts into which period, which limit is named, and when there is room again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepxy.config.groups import LimitSettings
from nepxy.config.settings import Settings
from nepxy.engine.limits import (
    Asked,
    Limit,
    Periods,
    Spent,
    Usage,
    corridor_refusal,
    counted_limits,
    reached_limit,
)
from nepxy.errors import CorridorNotServed, LimitExceeded, ValidationFailed

NOON = datetime(2026, 2, 28, 12, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 1, tzinfo=UTC)
AMA, KOFI = "+22890000001", "+22890000002"


def limits(**changes: Any) -> LimitSettings:
    return LimitSettings(**changes)


def asked(**changes: Any) -> Asked:
    return replace(Asked(at=NOON, amount=1000, currency="XOF", receiver=AMA), **changes)


def test_a_day_and_a_month_are_of_utc_and_end_before_the_next_begins() -> None:
    periods = Periods.at(NOON, limits(window_minutes=90))
    assert (periods.day_from, periods.day_to) == (datetime(2026, 2, 28, tzinfo=UTC), TOMORROW)
    assert (periods.month_from, periods.month_to) == (datetime(2026, 2, 1, tzinfo=UTC), TOMORROW)
    assert periods.window_from == datetime(2026, 2, 28, 10, 30, tzinfo=UTC)


@given(st.integers(0, 10**10).map(lambda ms: NOON + timedelta(milliseconds=ms * 30)))
def test_every_moment_lies_in_its_day_and_month_and_the_next_month_begins_on_a_first(
    moment: datetime,
) -> None:
    periods = Periods.at(moment, limits())
    assert periods.day_from <= moment < periods.day_to
    assert periods.month_from <= periods.day_from
    assert periods.day_to <= periods.month_to
    assert periods.month_to.day == 1
    assert (periods.month_to - timedelta(days=1)).month == moment.month


def test_with_all_limits_off_nothing_is_counted_and_nothing_is_reached() -> None:
    assert counted_limits(LimitSettings()) is None
    used = Spent(payouts=10**9, receivers=10**9, amounts={"XOF": 10**15})
    assert reached_limit(Usage(day=used, month=used, window=10**6), asked(), LimitSettings()) is None


def test_a_window_without_minutes_counts_nothing_and_the_start_warns_of_it() -> None:
    assert counted_limits(limits(payouts_per_window_max=3)) is None
    settings = Settings.from_environ({"MAX_CASHOUT_COUNT_PER_WINDOW": "3"})
    assert any(line.startswith("MAX_CASHOUT_COUNT_PER_WINDOW:") for line in settings.warnings)
    whole = Settings.from_environ({"MAX_CASHOUT_COUNT_PER_WINDOW": "3", "CASHOUT_WINDOW_MINUTES": "5"})
    assert not any("CASHOUT_COUNT" in line for line in whole.warnings)
    assert counted_limits(whole.limits) is whole.limits


@pytest.mark.parametrize("period", ["day", "month"])
@pytest.mark.parametrize(
    ("field", "name", "spent", "used", "more"),
    [
        ("amount", "AMOUNT", Spent(amounts={"XOF": 9_001}), 9_001, 1_000),
        ("payouts", "PAYOUTS", Spent(payouts=10_000), 10_000, 1),
        ("receivers", "RECEIVERS", Spent(receivers=10_000), 10_000, 1),
    ],
)
def test_each_limit_names_itself_what_is_used_and_when_it_frees(
    period: str, field: str, name: str, spent: Spent, used: int, more: int
) -> None:
    usage = Usage(day=spent) if period == "day" else Usage(month=spent)
    reached = reached_limit(usage, asked(), limits(**{f"{field}_per_{period}_max": 10_000}))
    assert reached is not None
    assert reached.limit == f"{name}_PER_{period.upper()}"
    assert (reached.allowed, reached.used, reached.asked) == (10_000, used, more)
    assert reached.currency == ("XOF" if name == "AMOUNT" else None)
    assert reached.frees_at == TOMORROW


def test_what_reaches_a_limit_exactly_still_fits() -> None:
    usage = Usage(day=Spent(payouts=2, receivers=2, amounts={"XOF": 9_000}))
    assert (
        reached_limit(
            usage, asked(), limits(amount_per_day_max=10_000, payouts_per_day_max=3, receivers_per_day_max=3)
        )
        is None
    )


def test_amounts_of_two_currencies_are_never_added() -> None:
    usage = Usage(day=Spent(amounts={"XOF": 9_500}))
    only = limits(amount_per_day_max=10_000)
    assert reached_limit(usage, asked(currency="GHS"), only) is None
    assert reached_limit(usage, asked(currency="XOF"), only) is not None


def test_who_was_paid_before_is_no_new_receiver_even_where_the_limit_was_lowered() -> None:
    usage = Usage(day=Spent(receivers=5, known=frozenset({AMA})))
    only = limits(receivers_per_day_max=3)
    assert reached_limit(usage, asked(receiver=AMA), only) is None
    assert reached_limit(usage, asked(receiver=KOFI), only) is not None


def test_an_amount_above_the_limit_by_itself_never_frees() -> None:
    both = limits(amount_per_day_max=10_000, payouts_per_month_max=1)
    reached = reached_limit(Usage(month=Spent(payouts=1)), asked(amount=10_001), both)
    assert reached is not None
    assert (reached.limit, reached.frees_at) == (Limit.AMOUNT_PER_DAY, None)


def test_of_several_limits_the_one_that_frees_last_is_named() -> None:
    early = datetime(2026, 2, 3, 12, tzinfo=UTC)
    usage = Usage(day=Spent(payouts=1), month=Spent(payouts=1))
    reached = reached_limit(usage, asked(at=early), limits(payouts_per_day_max=1, payouts_per_month_max=1))
    assert reached is not None
    assert (reached.limit, reached.frees_at) == (Limit.PAYOUTS_PER_MONTH, TOMORROW)


def test_a_window_frees_when_as_many_as_needed_have_left_it() -> None:
    oldest = tuple(NOON - timedelta(minutes=minutes) for minutes in (9, 8, 7))
    only = limits(payouts_per_window_max=2, window_minutes=10)
    # Two are allowed and four are there: three have to leave.
    reached = reached_limit(Usage(window=4, window_oldest=oldest), asked(), only)
    assert reached is not None
    assert reached.frees_at == NOON + timedelta(minutes=3)
    assert (reached.limit, reached.allowed, reached.used) == (Limit.PAYOUTS_PER_WINDOW, 2, 4)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 500),
            st.sampled_from(["XOF", "GHS"]),
            st.sampled_from([f"+2289000000{n}" for n in range(6)]),
            st.integers(0, 40),
        ),
        max_size=30,
    )
)
def test_however_payouts_come_what_is_taken_never_breaks_a_limit(
    wishes: list[tuple[int, str, str, int]],
) -> None:
    all_on = limits(
        amount_per_day_max=1_000,
        payouts_per_day_max=9,
        receivers_per_day_max=4,
        payouts_per_window_max=3,
        window_minutes=10,
    )
    taken: list[Asked] = []
    moment = NOON
    for amount, currency, receiver, minutes in wishes:
        moment = min(moment + timedelta(minutes=minutes), TOMORROW - timedelta(seconds=1))
        wish = Asked(at=moment, amount=amount, currency=currency, receiver=receiver)
        usage = counted(taken, at=moment)
        reached = reached_limit(usage, wish, all_on)
        if reached is None:
            taken.append(wish)
            assert usage.plus(wish).day == counted(taken, at=moment).day
        elif reached.frees_at is not None and reached.frees_at < TOMORROW:
            # The window's promise holds: then, and not a moment sooner, there is room in it.
            assert reached.limit is Limit.PAYOUTS_PER_WINDOW
            assert counted(taken, at=reached.frees_at).window < 3
            assert counted(taken, at=reached.frees_at - timedelta(microseconds=1)).window >= 3
    assert len(taken) <= 9
    assert len({one.receiver for one in taken}) <= 4
    for currency in ("XOF", "GHS"):
        assert sum(one.amount for one in taken if one.currency == currency) <= 1_000
    for one in taken:
        assert sum(one.at - timedelta(minutes=10) < other.at <= one.at for other in taken) <= 3


def counted(taken: list[Asked], *, at: datetime) -> Usage:
    """Usage as a careful person would count it, all on one day."""
    receivers = frozenset(one.receiver for one in taken)
    day = Spent(
        payouts=len(taken),
        receivers=len(receivers),
        amounts={
            currency: sum(one.amount for one in taken if one.currency == currency)
            for currency in {one.currency for one in taken}
        },
        known=receivers,
    )
    window = sorted(one.at for one in taken if at - timedelta(minutes=10) < one.at)
    return Usage(day=day, month=day, window=len(window), window_oldest=tuple(window))


def test_a_refusal_says_in_its_document_what_its_client_needs_and_masks_none_of_it() -> None:
    error = LimitExceeded(
        "AMOUNT_PER_DAY", allowed=10**9, used=10**9 - 5, asked=10**8, currency="XOF", frees_at=TOMORROW
    )
    assert error.members() == {
        "limit": "AMOUNT_PER_DAY",
        "limit_max": 10**9,
        "used": 10**9 - 5,
        "asked": 10**8,
        "currency": "XOF",
        "frees_at": "2026-03-01T00:00:00Z",
    }
    assert error.http_status == 422
    (field,) = error.fields
    assert field.name == "amount"
    assert "999,999,995 of 1,000,000,000 in minor units of XOF" in field.problem


@pytest.mark.parametrize(
    ("limit", "field"), [("RECEIVERS_PER_MONTH", ["phone_e164"]), ("PAYOUTS_PER_WINDOW", [])]
)
def test_a_refusal_names_a_field_only_where_it_is_about_one(limit: str, field: list[str]) -> None:
    error = LimitExceeded(limit, allowed=1, used=1, asked=1, currency=None, frees_at=None)
    assert [one.name for one in error.fields] == field
    assert "frees_at" not in error.members()


def test_corridors_are_pairs_and_their_order_matters() -> None:
    some = limits(corridor_allowlist=(("TG", "BJ"), ("GH", "BJ")))
    assert corridor_refusal(some, send="TG", receive="BJ") is None
    refused = corridor_refusal(some, send="BJ", receive="TG")
    assert isinstance(refused, CorridorNotServed)
    assert refused.fields[0].name == "country"
    other = corridor_refusal(some, send="CI", receive="BJ")
    assert isinstance(other, CorridorNotServed)
    assert (other.fields[0].name, other.fields[0].hint) == (
        "sender.country",
        "to BJ, payouts are served from GH, TG",
    )


def test_without_a_list_every_corridor_is_served_and_with_one_the_sender_must_say_from_where() -> None:
    assert corridor_refusal(LimitSettings(), send=None, receive="TG") is None
    missing = corridor_refusal(limits(corridor_allowlist=(("TG", "TG"),)), send=None, receive="TG")
    assert isinstance(missing, ValidationFailed)
    assert missing.fields[0].name == "sender.country"
