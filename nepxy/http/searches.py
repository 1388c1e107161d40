"""The filters by which operators look for payouts: of the list, and of the levers that touch many."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nepxy.engine.payout import Status
from nepxy.errors import FieldProblem, ValidationFailed
from nepxy.http.bodies import canonical
from nepxy.http.schemas import PAGE_DEFAULT, PAGE_MAX, Moment, Provider, refused
from nepxy.storage.payout_search import PayoutSearch, problem_of

AGE_S_MAX: Final = 10 * 365 * 86_400.0
AMOUNT_MAX: Final = 2**53
PHONE_ENDS_MIN: Final = 4


def _statuses(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = [word.strip().upper() for word in value.split(",") if word.strip()]
    known = [status.value for status in Status]
    if not words or set(words) - set(known):
        raise refused("names no state", f"send some of {','.join(known)}, separated by commas")
    return tuple(Status(word) for word in dict.fromkeys(words))


def _phone(value: object) -> object:
    if not isinstance(value, str):
        raise refused("is not text", "send it in quotes")
    # In a query, a `+` that was not escaped is a blank.
    text = "+" + value[1:] if value.startswith(" ") else value
    digits = text.removeprefix("+")
    if not digits.isascii() or not digits.isdecimal() or not PHONE_ENDS_MIN <= len(digits) <= 15:
        raise refused(
            "is no phone number", f"send a whole one with +, or its last {PHONE_ENDS_MIN} or more digits"
        )
    return text


Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*\S[^\x00]*$")]
Seconds = Annotated[float, Field(ge=0, le=AGE_S_MAX, allow_inf_nan=False)]
Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]


class PayoutFilters(BaseModel):
    """What payouts are wanted. From a query everything is text; from JSON, numbers may be numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    status: Annotated[tuple[Status, ...], BeforeValidator(_statuses)] = ()
    provider: Provider | None = None
    client_id: Text | None = None
    retryable: bool | None = None
    stuck_s: Seconds | None = None
    age_s: Seconds | None = None
    in_doubt: bool = False
    error: Text | None = None
    amount_min: Amount | None = None
    amount_max: Amount | None = None
    phone: Annotated[str, BeforeValidator(_phone)] | None = None
    reference: Text | None = None
    created_from: Moment | None = None
    created_to: Moment | None = None

    def search(self, now: datetime) -> PayoutSearch:
        """The search that these make at this moment.

        Raises:
            ValidationFailed: it could read all of history, or its ends are the wrong way round.
        """
        search = PayoutSearch(
            statuses=self.status,
            provider=self.provider,
            client_id=self.client_id,
            retryable=self.retryable,
            unchanged_since=_ago(now, self.stuck_s),
            created_before=_ago(now, self.age_s),
            in_doubt=self.in_doubt,
            error=self.error,
            amount_min=self.amount_min,
            amount_max=self.amount_max,
            phone=self.phone if self.phone is not None and self.phone.startswith("+") else None,
            phone_ends=self.phone if self.phone is not None and not self.phone.startswith("+") else None,
            reference=self.reference.strip() if self.reference is not None else None,
            created_from=self.created_from,
            created_to=self.created_to,
        )
        if problems := _wrong(search):
            raise ValidationFailed(problems)
        return search


class PayoutListQuery(PayoutFilters):
    """`GET /v1/admin/mobile-money/payouts`."""

    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    cursor: str | None = None


class PageQuery(BaseModel):
    """A list that is not narrowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    cursor: str | None = None


def _ago(now: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else now - timedelta(seconds=seconds)


def _wrong(search: PayoutSearch) -> list[FieldProblem]:
    if search.created_from and search.created_to and search.created_from >= search.created_to:
        return [FieldProblem("created_to", "is not after created_from")]
    least, most = search.amount_min, search.amount_max
    if least is not None and most is not None and least > most:
        return [FieldProblem("amount_max", "is less than amount_min")]
    too_wide = problem_of(search)
    return [FieldProblem("created_from", "is needed with these filters", too_wide)] if too_wide else []


def binding(name: str, query: BaseModel) -> str:
    """What a cursor is good for: the list of this name, with these very filters."""
    filters = query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_defaults=True)
    return hashlib.sha256(canonical([name, filters]).encode()).hexdigest()[:16]
