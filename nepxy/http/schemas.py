"""What comes in and goes out as JSON. Strict: no float or text for an integer, no field that nobody knows.

What is always true of a request is checked here; what depends on the moment (a provider that is switched off, a time
that has passed) only where `Circumstances` are given as the context, because a replay must not fail by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from nepxy.config.providers import PROVIDER_ALIASES
from nepxy.engine.capabilities import RequiredField
from nepxy.engine.money import EXPONENTS, check_amount
from nepxy.engine.msisdn import Msisdn, parse_msisdn
from nepxy.engine.payout import Status
from nepxy.errors import FieldProblem, ValidationFailed

EXPIRES_AFTER_MIN: Final = timedelta(minutes=1)
EXPIRES_AFTER_MAX: Final = timedelta(days=30)
METADATA_MAX: Final = 50
METADATA_TEXT_MAX: Final = 500
METADATA_INTEGER_MAX: Final = 2**53
"""What every JSON reader keeps exactly."""
PAGE_MAX: Final = 200
PAGE_DEFAULT: Final = 50

PROBLEM: Final = "field_problem"
PROVIDER_UNKNOWN: Final = "provider_unknown"
PROVIDER_DISABLED: Final = "provider_disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What holds at this moment."""

    now: datetime
    known: frozenset[str]
    """All providers."""
    enabled: frozenset[str]
    """Those that take new payouts."""
    requires: Mapping[str, tuple[RequiredField, ...]] = field(default_factory=dict)
    """By provider: what its capabilities require of a request."""


def refused(problem: str, hint: str = "", *, name: str = "", kind: str = PROBLEM) -> PydanticCustomError:
    """A field's problem in our words; `name` where another field is to blame."""
    return PydanticCustomError(kind, "{problem}", {"problem": problem, "hint": hint, "name": name})


def upper(value: object) -> object:
    """For codes whose case people do not care about."""
    return value.strip().upper() if isinstance(value, str) else value


def _canonical_provider(value: object) -> object:
    name = upper(value)
    return PROVIDER_ALIASES.get(name, name) if isinstance(name, str) else name


def _currency(value: str) -> str:
    if value not in EXPONENTS:
        raise refused("is not a currency that we pay", "send an ISO 4217 code, such as XOF or GHS")
    return value


def _moment(value: object) -> datetime:
    """An aware time; in a query, a `+` that was not escaped is a blank."""
    hint = "send ISO 8601 with an offset, such as 2026-11-24T12:00:00Z"
    if not isinstance(value, str):
        raise refused("is not a time", hint)
    try:
        moment = datetime.fromisoformat(re.sub(r" (?=\d\d:\d\d$)", "+", value.strip()))
        if moment.tzinfo is None:
            raise refused("has no offset from UTC", hint)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refused("is not a time", hint) from None


def _day(value: object) -> date:
    try:
        return date.fromisoformat(value)  # type: ignore[arg-type]  # whatever it is not, it raises
    except (TypeError, ValueError):
        raise refused("is not a date", "send YYYY-MM-DD") from None


def _scalar(value: object) -> object:
    if isinstance(value, str) and len(value) <= METADATA_TEXT_MAX and "\0" not in value:
        return value
    if isinstance(value, int) and abs(value) <= METADATA_INTEGER_MAX:  # booleans, too
        return value
    raise refused(
        "is not a short text, an integer or a boolean", f"texts have {METADATA_TEXT_MAX} characters at most"
    )


# PostgreSQL stores no NUL, and control characters in names are nobody's name.
_PLAIN: Final = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
_ECHOED: Final = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
"""For what is echoed and compared: nothing at its ends that somebody's trimming would lose."""

Name = Annotated[str, Field(min_length=1, max_length=140, pattern=_PLAIN)]
Note = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
ExternalRef = Annotated[str, Field(min_length=1, max_length=128, pattern=_ECHOED)]
Country = Annotated[str, BeforeValidator(upper), Field(pattern=r"^[A-Z]{2}$")]
Currency = Annotated[str, BeforeValidator(upper), Field(pattern=r"^[A-Z]{3}$"), AfterValidator(_currency)]
Provider = Annotated[str, BeforeValidator(_canonical_provider), Field(min_length=1, max_length=40)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Day = Annotated[date, BeforeValidator(_day)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64, pattern=_PLAIN)]
MetadataValue = Annotated[str | int | bool, PlainValidator(_scalar)]


class Incoming(BaseModel):
    """What every request body has in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Party(Incoming):
    """A person: the names, and what a provider's capability asks for besides."""

    name: Name | None = None
    first_name: Name | None = None
    last_name: Name | None = None
    date_of_birth: Day | None = None
    gender: Literal["MALE", "FEMALE", "OTHER"] | None = None
    nationality: Country | None = None
    country_of_birth: Country | None = None
    country: Country | None = None
    address: Name | None = None
    city: Name | None = None
    postal_code: Annotated[str, Field(min_length=1, max_length=20, pattern=_PLAIN)] | None = None
    id_type: Annotated[str, Field(min_length=1, max_length=40, pattern=_PLAIN)] | None = None
    id_number: Annotated[str, Field(min_length=1, max_length=60, pattern=_PLAIN)] | None = None
    relationship: Name | None = None


class PayoutRequest(Incoming):
    """`POST /v1/payouts`. A field that others are checked against stands before them."""

    provider: Annotated[
        Provider | None,
        Field(
            description="Optional: without it, the number's network and country choose.", examples=["TMONEY"]
        ),
    ] = None
    country: Annotated[Country, Field(description="The number's, ISO 3166 alpha-2.", examples=["TG"])]
    currency: Annotated[Currency, Field(description="ISO 4217.", examples=["XOF"])]
    amount: Annotated[
        StrictInt,
        Field(
            description="In the currency's minor unit; XOF has none: 1000 is 1000 francs.", examples=[1000]
        ),
    ]
    phone_e164: Annotated[
        str, Field(max_length=40, description="With + and country code.", examples=["+22890001234"])
    ]
    external_ref: Annotated[
        ExternalRef,
        Field(description="Your own name for the payout; echoed.", examples=["salary-2026-11-awa"]),
    ]
    recipient: Annotated[Party | None, Field(description="Who is paid; some providers require it.")] = None
    sender: Annotated[Party | None, Field(description="Who pays, where it is not the account's owner.")] = (
        None
    )
    purpose: Annotated[Name | None, Field(description="Of the remittance.", examples=["FAMILY_SUPPORT"])] = (
        None
    )
    expires_at: Annotated[
        Moment | None,
        Field(description="Until when an unsent payout is tried; 72 hours from now by default."),
    ] = None
    note: Annotated[Note | None, Field(description="For you; never sent to the provider.")] = None
    metadata: Annotated[
        Annotated[dict[MetadataKey, MetadataValue], Field(max_length=METADATA_MAX)] | None,
        Field(description="Short texts, integers and booleans of yours; echoed."),
    ] = None

    @property
    def number(self) -> Msisdn:
        """The number to pay, with its carrier."""
        return _number(self.phone_e164, self.country)

    def normalised(self) -> dict[str, Any]:
        """What the client said, in the one form in which two requests are compared; nothing that we decided."""
        return self.model_dump(mode="json", exclude_none=True)

    @field_validator("amount")
    @classmethod
    def _amount_suits_currency(cls, amount: int, info: ValidationInfo) -> int:
        for problem in check_amount(amount, info.data.get("currency", "")):
            if problem.name == "amount":
                raise refused(problem.problem, problem.hint)
        return amount

    @field_validator("phone_e164")
    @classmethod
    def _number_is_payable(cls, phone: str, info: ValidationInfo) -> str:
        try:
            return _number(phone, info.data.get("country")).phone_e164
        except ValidationFailed as failed:
            raise _as_pydantic(failed.fields[0]) from None

    @field_validator("provider")
    @classmethod
    def _provider_takes_payouts(cls, provider: str | None, info: ValidationInfo) -> str | None:
        moment = info.context
        if provider is None or not isinstance(moment, Circumstances):
            return provider
        if provider not in moment.known:
            hint = f"use one of {', '.join(sorted(moment.known))}, or leave it out"
            raise refused("is not known", hint, kind=PROVIDER_UNKNOWN)
        if provider not in moment.enabled:
            raise refused("takes no new payouts now", kind=PROVIDER_DISABLED)
        return provider

    @field_validator("expires_at")
    @classmethod
    def _expires_in_time(cls, expires_at: datetime | None, info: ValidationInfo) -> datetime | None:
        moment = info.context
        if expires_at is None or not isinstance(moment, Circumstances):
            return expires_at
        if not moment.now + EXPIRES_AFTER_MIN < expires_at <= moment.now + EXPIRES_AFTER_MAX:
            raise refused("is too soon or too late", "from a minute to 30 days from now, or leave it out")
        return expires_at


class ListQuery(BaseModel):
    """`GET /v1/payouts`: the query, where everything is text."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    status: Annotated[Status, BeforeValidator(upper)] | None = None
    provider: Provider | None = None
    external_ref: ExternalRef | None = None
    created_from: Moment | None = None
    created_to: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    cursor: str | None = None


class TokenRequest(BaseModel):
    """`POST /v1/auth/token`: RFC 6749, section 4.4, as a form or as JSON."""

    # A field that we do not know is ignored, as the RFC wants.
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, hide_input_in_errors=True)

    grant_type: str
    client_id: str | None = None
    client_secret: str | None = None
    scope: str | None = None


# ---- answers ----------------------------------------------------------------------------------------------


class TokenAnswer(BaseModel):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme, no secret
    expires_in: int
    scope: str


class Links(BaseModel):
    """Where to go from a payout."""

    self: str
    events: str
    cancel: str


class PayoutAccepted(BaseModel):
    """202: the payout is committed. Stored, and given again byte for byte on a replay."""

    transaction_id: str
    status: str
    provider: str
    route_reason: str
    amount: int
    currency: str
    phone_masked: str
    country: str
    external_ref: str
    created_at: datetime
    expires_at: datetime
    links: Links


class PayoutView(BaseModel):
    """A payout as its client sees it. Whole phone numbers and people's names stay inside."""

    transaction_id: str
    status: str
    status_reason: str
    """Ours, or the provider's own code."""
    failure_code: str | None = None
    """Where it is FAILED: why, in one of the few words of `nepxy.engine.failures`, to be shown to people."""
    explanation: str | None = None
    """Why it is where it is, what happens next and when; only where one payout is asked for."""
    provider: str
    route_reason: str | None
    amount: int
    currency: str
    phone_masked: str
    country: str
    external_ref: str
    purpose: str | None
    note: str | None
    metadata: Mapping[str, Any] | None
    submission_ref: str
    provider_ref: str | None
    attempt_count: int
    last_attempt_at: datetime | None
    next_retry_at: datetime | None
    in_doubt_since: datetime | None
    expires_at: datetime
    retryable: bool
    last_error: str | None
    version: int
    created_at: datetime
    settled_at: datetime | None
    links: Links


class PayoutPage(BaseModel):
    """A page of payouts, newest first."""

    items: list[PayoutView]
    next_cursor: str | None


class EventView(BaseModel):
    """One transition of a payout, with what proved it."""

    version: int
    at: datetime
    from_status: str | None
    to_status: str
    why: str
    who: str
    reference: str | None
    attempt: int | None
    evidence: Mapping[str, Any]
    request_id: str | None


class EventPage(BaseModel):
    """A payout's history, oldest first."""

    transaction_id: str
    items: list[EventView]


# Reading a number costs as much as the rest of a request together, and one request reads it twice.
@lru_cache(maxsize=1024)
def _number(phone: str, country: str | None) -> Msisdn:
    return parse_msisdn(phone, country)


def _as_pydantic(problem: FieldProblem) -> PydanticCustomError:
    return refused(problem.problem, problem.hint, name=problem.name)
