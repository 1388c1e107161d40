"""What one client may do in a day, a month and a sliding window, and between which countries. Pure.

Days and months are UTC's. What counts is every payout that is not FAILED or CANCELLED, by when it was made. Amounts of
different currencies are never added: an amount's limit holds for each currency by itself, in its own minor unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from nepxy.config.groups import LimitSettings
from nepxy.errors import CorridorNotServed, FieldProblem, RequestError, ValidationFailed


class Limit(StrEnum):
    """What a payout may be refused for; clients read it, and a metric is labelled with it."""

    AMOUNT_PER_DAY = "AMOUNT_PER_DAY"
    PAYOUTS_PER_DAY = "PAYOUTS_PER_DAY"
    RECEIVERS_PER_DAY = "RECEIVERS_PER_DAY"
    AMOUNT_PER_MONTH = "AMOUNT_PER_MONTH"
    PAYOUTS_PER_MONTH = "PAYOUTS_PER_MONTH"
    RECEIVERS_PER_MONTH = "RECEIVERS_PER_MONTH"
    PAYOUTS_PER_WINDOW = "PAYOUTS_PER_WINDOW"
    CORRIDOR = "CORRIDOR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """The periods in which a payout made at one moment counts. Ends are excluded, and the window's begin is, too."""

    day_from: datetime
    day_to: datetime
    month_from: datetime
    month_to: datetime
    window_from: datetime

    @classmethod
    def at(cls, moment: datetime, limits: LimitSettings) -> Periods:
        """Those of a moment in UTC."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        month = day.replace(day=1)
        return cls(
            day_from=day,
            day_to=day + timedelta(days=1),
            month_from=month,
            month_to=(month + timedelta(days=31)).replace(day=1),
            window_from=moment - timedelta(minutes=limits.window_minutes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a new payout adds."""

    at: datetime
    amount: int
    currency: str
    receiver: str
    """The phone number: who is paid twice is one receiver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a client has used of a day or a month."""

    payouts: int = 0
    receivers: int = 0
    amounts: Mapping[str, int] = field(default_factory=dict)
    """By currency, in its minor unit."""
    known: frozenset[str] = frozenset()
    """Of the receivers that are asked about, those who are among `receivers` already."""

    def plus(self, asked: Asked) -> Spent:
        """With one more payout."""
        return Spent(
            payouts=self.payouts + 1,
            receivers=self.receivers + (asked.receiver not in self.known),
            amounts={**self.amounts, asked.currency: self.amounts.get(asked.currency, 0) + asked.amount},
            known=self.known | {asked.receiver},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a client has used by now."""

    day: Spent = field(default_factory=Spent)
    month: Spent = field(default_factory=Spent)
    window: int = 0
    """Payouts in the window."""
    window_oldest: tuple[datetime, ...] = ()
    """When its oldest payouts were made: as many as must leave it before another one fits, and one at least."""

    def plus(self, asked: Asked) -> Usage:
        """With one more payout."""
        all_known = self.window == len(self.window_oldest)
        return replace(
            self,
            day=self.day.plus(asked),
            month=self.month.plus(asked),
            window=self.window + 1,
            window_oldest=tuple(sorted((*self.window_oldest, asked.at))) if all_known else self.window_oldest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A limit that leaves no room for what was asked."""

    limit: Limit
    allowed: int
    used: int
    asked: int
    currency: str | None
    """Of an amount."""
    frees_at: datetime | None
    """From when there is room, if nothing else takes it; sooner, where a payout that counts fails or is cancelled.
    None: never, because it is more than the limit by itself."""


def counted_limits(limits: LimitSettings) -> LimitSettings | None:
    """The settings, if any of them counts payouts; None: nothing has to be counted."""
    of_window = limits.payouts_per_window_max and limits.window_minutes
    return limits if of_window or counts_day(limits) or counts_month(limits) else None


def counts_day(limits: LimitSettings) -> bool:
    """Whether a limit of the day is on."""
    return any((limits.amount_per_day_max, limits.payouts_per_day_max, limits.receivers_per_day_max))


def counts_month(limits: LimitSettings) -> bool:
    """Whether a limit of the month is on."""
    return any((limits.amount_per_month_max, limits.payouts_per_month_max, limits.receivers_per_month_max))


def reached_limit(usage: Usage, asked: Asked, limits: LimitSettings) -> Reached | None:
    """The limit that a payout would break; of several, the one that frees last: when it does, the payout fits.

    Args:
        usage: of its client, in the `Periods` of `asked.at`.
        asked: the payout.
        limits: 0 is off.
    """
    broken = list(_broken(usage, asked, limits))
    never = next((one for one in broken if one.frees_at is None), None)
    return never or max(broken, key=lambda one: one.frees_at or asked.at, default=None)


def _broken(usage: Usage, asked: Asked, limits: LimitSettings) -> Iterator[Reached]:
    periods = Periods.at(asked.at, limits)
    for spent, ends_at, amount_max, payouts_max, receivers_max, names in (
        (
            usage.day,
            periods.day_to,
            limits.amount_per_day_max,
            limits.payouts_per_day_max,
            limits.receivers_per_day_max,
            (Limit.AMOUNT_PER_DAY, Limit.PAYOUTS_PER_DAY, Limit.RECEIVERS_PER_DAY),
        ),
        (
            usage.month,
            periods.month_to,
            limits.amount_per_month_max,
            limits.payouts_per_month_max,
            limits.receivers_per_month_max,
            (Limit.AMOUNT_PER_MONTH, Limit.PAYOUTS_PER_MONTH, Limit.RECEIVERS_PER_MONTH),
        ),
    ):
        new_receiver = int(asked.receiver not in spent.known)
        for limit, allowed, used, more, currency in (
            (names[0], amount_max, spent.amounts.get(asked.currency, 0), asked.amount, asked.currency),
            (names[1], payouts_max, spent.payouts, 1, None),
            (names[2], receivers_max, spent.receivers, new_receiver, None),
        ):
            # What adds nothing is no breach, even where the limit was lowered below what is used.
            if allowed and more and used + more > allowed:
                frees_at = ends_at if more <= allowed else None
                yield Reached(
                    limit=limit, allowed=allowed, used=used, asked=more, currency=currency, frees_at=frees_at
                )
    yield from _broken_window(usage, limits)


def _broken_window(usage: Usage, limits: LimitSettings) -> Iterator[Reached]:
    allowed = limits.payouts_per_window_max
    if allowed and limits.window_minutes and usage.window >= allowed:
        last_to_leave = usage.window_oldest[usage.window - allowed]
        yield Reached(
            limit=Limit.PAYOUTS_PER_WINDOW,
            allowed=allowed,
            used=usage.window,
            asked=1,
            currency=None,
            frees_at=last_to_leave + timedelta(minutes=limits.window_minutes),
        )


def corridor_refusal(limits: LimitSettings, *, send: str | None, receive: str) -> RequestError | None:
    """Why a payout's corridor is not served; None: it is, as all are where no list is set.

    Args:
        limits: with the corridors that are served.
        send: the country of who pays. There is no other home of the money that we know of: neither a client nor an
            account has a country.
        receive: the country of the number that is paid.
    """
    corridors = limits.corridor_allowlist
    if not corridors or (send, receive) in corridors:
        return None
    if send is None:
        hint = "send the country that the money comes from, ISO 3166 alpha-2"
        return ValidationFailed([FieldProblem("sender.country", "is missing: corridors are limited", hint)])
    return CorridorNotServed(send, receive, served=(one for one, other in corridors if other == receive))
