"""Every error that NepXy raises, and the one table of their stable codes.

A leaf: it imports nothing of ours, so that every room may use it. It knows HTTP statuses, because a code means the
same status for ever, but not HTTP; `nepxy/http` sends what `problem` and `headers` give.

Each error has a message (what was wrong) and a hint (what to do); neither may hold a secret or a whole phone number.
`python -m nepxy.errors > docs/errors.md` writes the page for users; a test keeps it true.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What a code means, for ever. A retired code stays, marked, and is never given another meaning."""

    code: str
    http_status: int
    title: str
    """Short, the same for every occurrence (RFC 9457, section 3.1.3)."""
    what_to_do: str
    """For whoever meets it: the client's developer, or for a 5xx the operator."""
    retired: bool = False


_TABLE = (
    # The request as a whole.
    ("JSON_INVALID", 400, "Body is not JSON", "Send one JSON object, in UTF-8."),
    ("CONTENT_TYPE_UNSUPPORTED", 415, "Content type not supported", "Send Content-Type: application/json."),
    ("BODY_TOO_LARGE", 413, "Body too large", "Send a smaller body; the message names the limit in bytes."),
    ("BODY_TOO_SLOW", 408, "Body too slow", "Send the whole body at once; the same key may be used again."),
    ("VALIDATION_FAILED", 422, "Fields are wrong", "Mend each field in `fields`; the key may be used again."),
    ("CURSOR_INVALID", 400, "Cursor is not ours", "Start again without `cursor`; never build one yourself."),
    ("ROUTE_NOT_FOUND", 404, "No such path", "Compare the path with the API's description."),
    ("METHOD_NOT_ALLOWED", 405, "Method not allowed here", "Use a method from the Allow header."),
    # Who asks.
    (
        "TOKEN_MISSING",
        401,
        "Access token missing",
        "Send Authorization: Bearer with a token from /v1/auth/token.",
    ),
    ("TOKEN_INVALID", 401, "Access token not valid", "Ask /v1/auth/token for a new token."),
    (
        "TOKEN_EXPIRED",
        401,
        "Access token expired",
        "Ask /v1/auth/token for a new token, then repeat the request.",
    ),
    (
        "TOKEN_NOT_YET_VALID",
        401,
        "Access token not valid yet",
        "Compare your clock with UTC; then ask for a new one.",
    ),
    ("CLIENT_CREDENTIALS_INVALID", 401, "Client credentials not valid", "Check client_id and client_secret."),
    (
        "CLIENT_DISABLED",
        403,
        "Client is disabled",
        "Ask the operator to enable it; a new token will not help.",
    ),
    (
        "SCOPE_MISSING",
        403,
        "Scope missing",
        "Use a client that was granted the scope that the message names.",
    ),
    # The console's sign-in.
    ("SESSION_OVER", 401, "Console session is over", "Sign in again at /console."),
    (
        "CSRF_TOKEN_WRONG",
        403,
        "X-CSRF-Token missing or wrong",
        "Send the csrf_token of GET /console/session.",
    ),
    (
        "TOO_MANY_TRIES",
        429,
        "Too many wrong tries",
        "Wait as long as Retry-After says, then check the secret.",
    ),
    (
        "RATE_LIMITED",
        429,
        "Too many requests",
        "Wait for Retry-After seconds, then send it again with the same key.",
    ),
    # Payouts.
    (
        "IDEMPOTENCY_KEY_MISSING",
        400,
        "Idempotency-Key missing",
        "Send one Idempotency-Key a payout; keep it.",
    ),
    ("IDEMPOTENCY_KEY_INVALID", 400, "Idempotency-Key not usable", "Send 1 to 255 visible ASCII characters."),
    (
        "IDEMPOTENCY_CONFLICT",
        409,
        "Idempotency-Key used for another request",
        "Repeat the first body exactly, or use a new key if this is another payout.",
    ),
    (
        "DUPLICATE_EXTERNAL_REF",
        409,
        "external_ref already used",
        "Read the payout in `transaction_id`; use a new external_ref only for another payout.",
    ),
    ("PAYOUT_NOT_FOUND", 404, "No such payout", "Check the transaction_id, and that this client made it."),
    (
        "PAYOUT_NOT_CANCELLABLE",
        409,
        "Payout cannot be cancelled",
        "Only PENDING can be cancelled: follow its state.",
    ),
    ("PROVIDER_UNKNOWN", 422, "No such provider", "Use one of the providers that the message names."),
    (
        "PROVIDER_DISABLED",
        422,
        "Provider is switched off",
        "Use another provider, or wait until it is on again.",
    ),
    (
        "LIMIT_EXCEEDED",
        422,
        "A limit of this client is reached",
        "Send it again from `frees_at`, with the same key; without `frees_at`, only a smaller amount fits.",
    ),
    (
        "CORRIDOR_NOT_SERVED",
        422,
        "Not served between these countries",
        "Check sender.country and country; ask the operator for the corridors that are served.",
    ),
    # Operators' commands.
    ("TARGET_UNKNOWN", 422, "No such target", "Name supervisor, providers/NAME or payouts/ID."),
    ("COMMAND_UNKNOWN", 422, "No such command", "Use one of the commands that the message names."),
    (
        "COMMAND_NOT_VALID",
        409,
        "Command means nothing in this state",
        "Use one of `valid_commands`, or `note`; the payout's explanation says what it waits for.",
    ),
    (
        "VERSION_CONFLICT",
        409,
        "Somebody was first",
        "Look at the payout again: it has moved on from the version that the command names.",
    ),
    ("FORCE_NEEDED", 409, "It is final", "Send `force: true` if its final state is wrong, and say why."),
    (
        "ANSWER_AWAITED",
        409,
        "The provider's own answer may still come",
        "Ask again after `answer_by`: what was seen at the provider may be older than that answer.",
    ),
    (
        "ATTEMPT_UNRESOLVED",
        409,
        "An attempt of it is unresolved",
        "Find out at the provider what became of it: a new reference could pay it twice.",
    ),
    (
        "DISCREPANCY_OPEN",
        409,
        "A discrepancy is open over it",
        "Resolve and close the discrepancy first: the provider says something else than we hold.",
    ),
    (
        "COMMAND_ID_CONFLICT",
        409,
        "command_id names another command",
        "Use a new command_id for each command; repeat one only with the same command.",
    ),
    (
        "PROVIDER_REF_TAKEN",
        409,
        "Another payout has this provider reference",
        "Compare the two at the provider: one reference belongs to one payout.",
    ),
    (
        "BULK_OVER_THE_CAP",
        409,
        "More is selected than the cap allows",
        "Narrow the selector, or raise `count_max` or `amount_max` after a dry run.",
    ),
    ("BULK_SELECTS_NOTHING", 409, "Nothing is selected", "Compare the selector with the payouts' list."),
    ("BULK_RUN_NOT_FOUND", 404, "No such run", "List them at /v1/admin/bulk."),
    (
        "BALANCE_UNKNOWN",
        409,
        "Provider did not tell our balance",
        "Ask again later, or look at the provider's own portal: it says nothing about the money.",
    ),
    ("PROPOSAL_NOT_FOUND", 404, "No such proposal", "List the open ones at /v1/admin/proposals."),
    (
        "PROPOSAL_CLOSED",
        409,
        "Proposal is closed",
        "It was decided on or has expired: give the command again.",
    ),
    (
        "SECOND_PERSON_IS_THE_FIRST",
        409,
        "The second person must be another one",
        "Ask another operator to approve it.",
    ),
    ("WEBHOOK_NOT_FOUND", 404, "No such webhook", "List those that came at /v1/admin/webhooks/events."),
    (
        "WEBHOOK_NOT_REPLAYABLE",
        409,
        "Webhook cannot be given to a payout",
        "Ask the provider to send it again, signed; or poll the payout: its word then comes first hand.",
    ),
    (
        "DISCREPANCY_NOT_FOUND",
        404,
        "No such discrepancy",
        "List the open ones at /v1/admin/discrepancies?open=true.",
    ),
    (
        "DISCREPANCY_CLOSED",
        409,
        "Discrepancy is closed",
        "Nothing is left to do; the list says who closed it.",
    ),
    (
        "IDEMPOTENCY_KEY_NOT_FOUND",
        404,
        "No such idempotency key",
        "Check client_id and key: the client's request may never have arrived.",
    ),
    # Webhooks. Names as providers already get them: providers.md, section 8 [N].
    (
        "WEBHOOK_SECRET_NOT_CONFIGURED",
        500,
        "Webhook secret not configured",
        "Operator: set <PROVIDER>_WEBHOOK_SECRET; the provider should send it again.",
    ),
    (
        "MISSING_SIGNATURE",
        401,
        "Signature missing",
        "Send X-Signature: the HMAC-SHA256 of the raw body, in hex.",
    ),
    (
        "INVALID_SIGNATURE",
        401,
        "Signature does not match",
        "Sign the raw bytes with the agreed secret, in lower case.",
    ),
    ("INVALID_JSON", 400, "Webhook body is not a JSON object", "Send one JSON object, in UTF-8."),
    ("MISSING_STATUS", 400, "Webhook has no status", "Send `status` or `state`."),
    (
        "MISSING_PROVIDER_REF_OR_EXTERNAL_REF",
        400,
        "Webhook names no payout",
        "Send `provider_ref` or `external_ref`.",
    ),
    # Reconciliation.
    (
        "RECONCILE_RUNNING",
        409,
        "Providers are being asked already",
        "Wait for the report that the message names, or watch it; then start the next.",
    ),
    ("REPORT_NOT_FOUND", 404, "No such report", "Take a report_id from GET /v1/admin/reconcile/reports."),
    # Not now.
    (
        "DATABASE_UNAVAILABLE",
        503,
        "Database unavailable",
        "Repeat after Retry-After, with the same Idempotency-Key.",
    ),
    ("DRAINING", 503, "Node is stopping", "Repeat after Retry-After, with the same Idempotency-Key."),
    (
        "INTAKE_PAUSED",
        503,
        "No new payouts for now",
        "Repeat after Retry-After, with the same Idempotency-Key; what was taken goes on.",
    ),
    ("NODE_STANDBY", 503, "Node is on standby", "Repeat after Retry-After: another node owns this payout."),
    ("ENGINE_BUSY", 503, "Engine is busy", "Repeat after Retry-After, and send more slowly."),
    (
        "ENGINE_TIMEOUT",
        503,
        "Engine did not answer in time",
        "It may have been done: repeat after Retry-After, with the same Idempotency-Key.",
    ),
    # Ours alone: a client sees no more than the title.
    (
        "CONFIG_INVALID",
        500,
        "Settings are not valid",
        "Operator: mend every line of the message, then start again.",
    ),
    (
        "STALE_VERSION",
        500,
        "Row was written by someone else",
        "Reload and decide again; it never reaches a client.",
    ),
    (
        "INTERNAL_ERROR",
        500,
        "Internal error",
        "Report the request_id; repeat only with the same Idempotency-Key.",
    ),
    (
        "INVARIANT_VIOLATED",
        500,
        "Internal error",
        "Operator: the payout is parked; its log line names the rule.",
    ),
    (
        "PAYOUT_MOVE_IMPOSSIBLE",
        500,
        "Internal error",
        "Operator: a defect; report the log line with its frames.",
    ),
    (
        "PAYOUT_RECORD_CONTRADICTS_ITSELF",
        500,
        "Internal error",
        "Operator: a defect or a row changed by hand; compare it with its payout_events.",
    ),
    (
        "RETRY_WITHOUT_FAILURE",
        500,
        "Internal error",
        "Operator: a defect; report the log line with its frames.",
    ),
)

CODES: Mapping[str, CodeInfo] = MappingProxyType({row[0]: CodeInfo(*row) for row in _TABLE})
"""Every code there is, in the order of `docs/errors.md`."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field of a request that is wrong, and how to mend it. Quote a value only if it is no personal data."""

    name: str
    """As the client wrote it; nested names are joined with dots: `beneficiary.phone_e164`."""
    problem: str
    hint: str = ""


def _known(code: str) -> CodeInfo:
    info = CODES.get(code)
    if info is None:
        raise ValueError(f"{code} is not in nepxy.errors.CODES: add it there, with what its reader should do")
    return info


class NepXyError(Exception):
    """The root of our errors; catch it only where one is turned into an answer.

    Args:
        code: a key of `CODES`.
        message: what was wrong with this one occurrence.
        hint: what to do about it; when empty, the table's `what_to_do`.
        fields: the fields that were wrong, if any.

    Raises:
        ValueError: the code is not in `CODES`.
    """

    fixed_code: ClassVar[str] = ""
    """The code of a class that has only one; it is checked when the class is made."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.fixed_code:
            _known(cls.fixed_code)

    def __init__(self, code: str, message: str, hint: str = "", fields: Iterable[FieldProblem] = ()) -> None:
        self.info = _known(code)
        self.code = code
        self.message = message
        self.hint = hint or self.info.what_to_do
        self.fields = tuple(fields)
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def http_status(self) -> int:
        """The status that goes with the code, from the table."""
        return self.info.http_status

    def headers(self) -> dict[str, str]:
        """The HTTP headers that this answer needs beside its body."""
        return {}

    def members(self) -> dict[str, str | int]:
        """What the problem document of this error carries beyond the standard members."""
        return {}


class ConfigError(NepXyError):
    """The start is refused. Lists every problem at once, so that nobody mends them one start at a time."""

    fixed_code = "CONFIG_INVALID"

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(self.fixed_code, f"{count} setting{'s are' if count != 1 else ' is'} wrong:{lines}")


class StaleVersion(NepXyError):
    """Someone wrote the row first: reload and decide again. It never reaches a client."""

    fixed_code = "STALE_VERSION"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(self.fixed_code, message, hint)


class InvariantViolation(NepXyError):
    """We are wrong: the actor dies, the payout is parked in REVIEW, a person is called."""


class RequestError(NepXyError):
    """The caller can mend it; nothing was done."""


class ValidationFailed(RequestError):
    """422: at least one field is wrong; every wrong field is named."""

    fixed_code = "VALIDATION_FAILED"

    def __init__(self, fields: Iterable[FieldProblem]) -> None:
        problems = tuple(fields)
        names = ", ".join(dict.fromkeys(problem.name for problem in problems))
        super().__init__(self.fixed_code, f"wrong: {names}", fields=problems)


class BadJson(RequestError):
    """400: the body cannot be read as one JSON object."""

    fixed_code = "JSON_INVALID"

    def __init__(self, problem: str = "the body is not a JSON object") -> None:
        super().__init__(self.fixed_code, problem)


class ContentTypeUnsupported(RequestError):
    """415: another content type than JSON."""

    fixed_code = "CONTENT_TYPE_UNSUPPORTED"

    def __init__(self, content_type: str) -> None:
        super().__init__(
            self.fixed_code, f"Content-Type is {content_type[:80] or 'missing'}, not application/json"
        )


class BodyTooLarge(RequestError):
    """413: the body is larger than `bytes_max`."""

    fixed_code = "BODY_TOO_LARGE"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(self.fixed_code, f"the body is larger than {bytes_max} bytes")


class BodyTooSlow(RequestError):
    """408: the body was not here in time; nothing of it was looked at.

    Args:
        limit_s: how long it might have taken, in seconds.
    """

    fixed_code = "BODY_TOO_SLOW"

    def __init__(self, limit_s: float) -> None:
        super().__init__(self.fixed_code, f"the body was not here within {limit_s:g} s")


class CursorInvalid(RequestError):
    """400: the page's cursor was not made by us, or by a version that is gone."""

    fixed_code = "CURSOR_INVALID"

    def __init__(self) -> None:
        super().__init__(self.fixed_code, "the cursor cannot be read")


class RouteNotFound(RequestError):
    """404: no such path."""

    fixed_code = "ROUTE_NOT_FOUND"

    def __init__(self, path: str) -> None:
        super().__init__(self.fixed_code, f"there is nothing at {path[:200]}")


class MethodNotAllowed(RequestError):
    """405: the path exists, the method does not."""

    fixed_code = "METHOD_NOT_ALLOWED"

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = tuple(sorted(allowed))
        super().__init__(self.fixed_code, f"{method} is not possible here, but {', '.join(self.allowed)}")

    def headers(self) -> dict[str, str]:
        """`Allow`, which RFC 9110 wants with a 405."""
        return {"Allow": ", ".join(self.allowed)}


class IdempotencyKeyMissing(RequestError):
    """400: a request that moves money came without its key."""

    fixed_code = "IDEMPOTENCY_KEY_MISSING"

    def __init__(self) -> None:
        super().__init__(self.fixed_code, "a request that moves money needs the header Idempotency-Key")


class IdempotencyKeyInvalid(RequestError):
    """400: the key is empty, too long, or not printable."""

    fixed_code = "IDEMPOTENCY_KEY_INVALID"

    def __init__(self, problem: str) -> None:
        super().__init__(self.fixed_code, f"Idempotency-Key {problem}")


class IdempotencyConflict(RequestError):
    """409: the key already names a request with another body.

    Args:
        differing: names of the fields that differ; their values are not quoted.
    """

    fixed_code = "IDEMPOTENCY_CONFLICT"

    def __init__(self, differing: Iterable[str]) -> None:
        self.differing = tuple(differing)
        names = ", ".join(self.differing) or "the body"
        super().__init__(
            self.fixed_code,
            f"this Idempotency-Key already names another request; different: {names}",
            fields=(
                FieldProblem(name, "differs from the first request with this key") for name in self.differing
            ),
        )


class DuplicateExternalRef(RequestError):
    """409: this client already made a payout with this `external_ref`: the one in `transaction_id`."""

    fixed_code = "DUPLICATE_EXTERNAL_REF"

    def __init__(self, transaction_id: str) -> None:
        self.transaction_id = transaction_id
        super().__init__(
            self.fixed_code,
            f"this external_ref already belongs to payout {transaction_id}",
            fields=(FieldProblem("external_ref", "already used by another payout of this client"),),
        )

    def members(self) -> dict[str, str | int]:
        """The payout that has the reference."""
        return {"transaction_id": self.transaction_id}


class PayoutNotFound(RequestError):
    """404: no such payout, or another client's: the answer is the same, so that ids cannot be probed."""

    fixed_code = "PAYOUT_NOT_FOUND"

    def __init__(self, transaction_id: str) -> None:
        super().__init__(self.fixed_code, f"there is no payout {transaction_id[:80]}")


class PayoutNotCancellable(RequestError):
    """409: the payout may have left us, or is final."""

    fixed_code = "PAYOUT_NOT_CANCELLABLE"

    def __init__(self, transaction_id: str, status: str) -> None:
        self.status = status
        super().__init__(self.fixed_code, f"payout {transaction_id} is {status}")

    def members(self) -> dict[str, str | int]:
        """The state that stands in the way; not `status`, which is the HTTP status in a problem document."""
        return {"payout_status": self.status}


class CommandRefused(RequestError):
    """An operator's command was not done; the code says why.

    Args:
        code: as the engine answered.
        message: what stands in the way.
        valid: the commands that mean something now.
        facts: what else the operator wants to see, by name.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        valid: Iterable[str] = (),
        facts: Mapping[str, str | int] = MappingProxyType({}),
    ) -> None:
        self.valid = tuple(valid)
        self.facts = facts
        super().__init__(code, message)

    def members(self) -> dict[str, str | int]:
        """The commands that are valid, joined by blanks, and the facts."""
        return {**self.facts, **({"valid_commands": " ".join(self.valid)} if self.valid else {})}


class Unauthenticated(RequestError):
    """401: we do not know who asks. Codes `TOKEN_*` and `CLIENT_CREDENTIALS_INVALID`."""

    def headers(self) -> dict[str, str]:
        """The challenge of RFC 6750, section 3; without an `error` when no token came at all."""
        error = "" if self.code == "TOKEN_MISSING" else ', error="invalid_token"'
        return {"WWW-Authenticate": f'Bearer realm="nepxy"{error}'}


class TokenMissing(Unauthenticated):
    """401: no `Authorization: Bearer`."""

    fixed_code = "TOKEN_MISSING"

    def __init__(self) -> None:
        super().__init__(self.fixed_code, "the header Authorization: Bearer is missing")


class TokenInvalid(Unauthenticated):
    """401: the token cannot be read, or nobody we trust signed it."""

    fixed_code = "TOKEN_INVALID"

    def __init__(self, problem: str = "the access token cannot be verified") -> None:
        super().__init__(self.fixed_code, problem)


class TokenExpired(Unauthenticated):
    """401: the token was good once."""

    fixed_code = "TOKEN_EXPIRED"

    def __init__(self) -> None:
        super().__init__(self.fixed_code, "the access token has expired")


class TokenNotYetValid(Unauthenticated):
    """401: the token will be good later; a clock is wrong."""

    fixed_code = "TOKEN_NOT_YET_VALID"

    def __init__(self) -> None:
        super().__init__(self.fixed_code, "the access token is not valid yet")


class ClientCredentialsInvalid(Unauthenticated):
    """401 of the token endpoint; does not say which of the two was wrong."""

    fixed_code = "CLIENT_CREDENTIALS_INVALID"

    def __init__(self) -> None:
        super().__init__(self.fixed_code, "client_id or client_secret is wrong")

    def headers(self) -> dict[str, str]:
        """RFC 6749, section 5.2: the scheme by which the client identified itself."""
        return {"WWW-Authenticate": 'Basic realm="nepxy"'}


class SessionOver(Unauthenticated):
    """401: the console's cookie is too old, was signed out, or is not ours."""

    fixed_code = "SESSION_OVER"

    def __init__(self) -> None:
        super().__init__(self.fixed_code, "this session of the console is over")


class CsrfTokenWrong(RequestError):
    """403: a session's cookie came alone, as another site's page could send it."""

    fixed_code = "CSRF_TOKEN_WRONG"

    def __init__(self) -> None:
        super().__init__(self.fixed_code, "the header X-CSRF-Token is missing, or is not this session's")


class TooManyTries(RequestError):
    """429: the secret was not even looked at."""

    fixed_code = "TOO_MANY_TRIES"

    def __init__(self, *, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(self.fixed_code, f"too many wrong tries; the next one in {retry_after_s} s")

    def headers(self) -> dict[str, str]:
        """`Retry-After`, in whole seconds."""
        return {"Retry-After": str(self.retry_after_s)}

    def members(self) -> dict[str, str | int]:
        """The header's twin, for those who only keep bodies."""
        return {"retry_after_s": self.retry_after_s}


class ClientDisabled(RequestError):
    """403: we know who asks, and an operator switched it off."""

    fixed_code = "CLIENT_DISABLED"

    def __init__(self) -> None:
        super().__init__(self.fixed_code, "this client is disabled")


class RateLimited(RequestError):
    """429: this client asks too often; the request was not looked at.

    Args:
        retry_after_s: whole seconds until one more is taken.
    """

    fixed_code = "RATE_LIMITED"

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(self.fixed_code, "this client sends more requests a second than it may")

    def headers(self) -> dict[str, str]:
        """When to come back."""
        return {"Retry-After": str(self.retry_after_s)}


class ScopeMissing(RequestError):
    """403: the token does not carry the scope of this route."""

    fixed_code = "SCOPE_MISSING"

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(self.fixed_code, f"this needs the scope {scope}")

    def headers(self) -> dict[str, str]:
        """The challenge of RFC 6750, section 3.1."""
        return {"WWW-Authenticate": f'Bearer realm="nepxy", error="insufficient_scope", scope="{self.scope}"'}


class ProviderUnknown(RequestError):
    """422: the field `provider` names nobody we know."""

    fixed_code = "PROVIDER_UNKNOWN"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(name.upper(), names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"use one of {', '.join(names)}"
        super().__init__(
            self.fixed_code,
            f"there is no provider {name[:40]!r}; there is {', '.join(names)}",
            fields=(FieldProblem("provider", "is not known", hint),),
        )


class ProviderDisabled(RequestError):
    """422: the field `provider` names one that takes no new payouts; those in flight go on."""

    fixed_code = "PROVIDER_DISABLED"

    def __init__(self, name: str) -> None:
        super().__init__(
            self.fixed_code,
            f"{name} takes no new payouts now",
            fields=(FieldProblem("provider", "is switched off"),),
        )


class LimitExceeded(RequestError):
    """422: the payout does not fit into one of its client's limits; nothing was stored, and the key may be used again.

    Args:
        limit: its name: a value of `nepxy.engine.limits.Limit`.
        allowed: by the settings.
        used: by this client's own payouts.
        asked: by how much this payout would raise `used`.
        currency: of an amount's limit, which is in its minor unit.
        frees_at: from when it fits; None: never.
    """

    fixed_code = "LIMIT_EXCEEDED"

    def __init__(
        self,
        limit: str,
        *,
        allowed: int,
        used: int,
        asked: int,
        currency: str | None,
        frees_at: datetime | None,
    ) -> None:
        self.limit = limit
        self._figures: dict[str, str | int] = {"limit_max": allowed, "used": used, "asked": asked}
        if currency is not None:
            self._figures["currency"] = currency
        if frees_at is not None:
            self._figures["frees_at"] = frees_at.isoformat().replace("+00:00", "Z")
        unit = f" in minor units of {currency}" if currency else ""
        # Grouped: a long run of digits would be masked like a phone number.
        figures = f"{used:,} of {allowed:,}{unit} are used, {asked:,} more would be too many"
        field = {"AMOUNT": "amount", "RECEIVERS": "phone_e164"}.get(limit.partition("_")[0])
        super().__init__(
            self.fixed_code,
            f"{limit} of this client: {figures}",
            fields=(FieldProblem(field, f"goes beyond {limit}: {figures}"),) if field else (),
        )

    def members(self) -> dict[str, str | int]:
        """The limit, and what its client needs to find out when to come back."""
        return {"limit": self.limit, **self._figures}


class CorridorNotServed(RequestError):
    """422: payouts from this country to that one are not served.

    Args:
        send: the country of `sender.country`.
        receive: the country of the number.
        served: from where payouts to that country are served.
    """

    fixed_code = "CORRIDOR_NOT_SERVED"

    def __init__(self, send: str, receive: str, *, served: Iterable[str]) -> None:
        names = ", ".join(sorted(served))
        hint = f"to {receive}, payouts are served from {names}" if names else f"none to {receive} are served"
        super().__init__(
            self.fixed_code,
            f"payouts from {send} to {receive} are not served",
            fields=(FieldProblem("sender.country" if names else "country", "is in no corridor", hint),),
        )


class WebhookRefused(RequestError):
    """A provider's webhook that we do not apply; it is stored all the same (money rule 9).

    Codes: `WEBHOOK_SECRET_NOT_CONFIGURED`, `MISSING_SIGNATURE`, `INVALID_SIGNATURE`, `INVALID_JSON`,
    `MISSING_STATUS`, `MISSING_PROVIDER_REF_OR_EXTERNAL_REF`.
    """

    def __init__(self, code: str, provider: str) -> None:
        self.provider = provider
        super().__init__(code, f"webhook of {provider}: {_known(code).title.lower()}")

    def members(self) -> dict[str, str | int]:
        """`error` is where providers of the existing system look for the code (providers.md, section 8 [N])."""
        return {"error": self.code, "provider": self.provider}


class ReconcileRunning(RequestError):
    """409: one run at a time; the one in `report_id` goes on."""

    fixed_code = "RECONCILE_RUNNING"

    def __init__(self, report_id: str) -> None:
        self.report_id = report_id
        super().__init__(self.fixed_code, f"report {report_id or 'of another moment'} is not done yet")

    def members(self) -> dict[str, str | int]:
        """Which one."""
        return {"report_id": self.report_id}


class ReportNotFound(RequestError):
    """404: no such report of reconciliation."""

    fixed_code = "REPORT_NOT_FOUND"

    def __init__(self, report_id: str) -> None:
        super().__init__(self.fixed_code, f"there is no report {report_id[:80]}")


class Unavailable(NepXyError):
    """503: try again after `retry_after_s` seconds; nothing is half-done.

    Codes: `DATABASE_UNAVAILABLE`, `DRAINING`, `NODE_STANDBY`, `ENGINE_BUSY`, `ENGINE_TIMEOUT`.
    """

    def __init__(self, code: str, message: str, hint: str = "", *, retry_after_s: int = 5) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(code, message, hint)

    def headers(self) -> dict[str, str]:
        """`Retry-After`, in whole seconds."""
        return {"Retry-After": str(self.retry_after_s)}

    def members(self) -> dict[str, str | int]:
        """The header's twin, for those who only keep bodies."""
        return {"retry_after_s": self.retry_after_s}


class DatabaseUnavailable(Unavailable):
    """503: nothing can be made durable, so nothing is acknowledged (money rule 1)."""

    fixed_code = "DATABASE_UNAVAILABLE"

    def __init__(self, message: str = "the database does not answer", *, retry_after_s: int = 5) -> None:
        super().__init__(self.fixed_code, message, retry_after_s=retry_after_s)


class Draining(Unavailable):
    """503: this node finishes what it has and takes nothing new."""

    fixed_code = "DRAINING"

    def __init__(self, *, retry_after_s: int = 5) -> None:
        super().__init__(
            self.fixed_code, "this node is stopping and takes nothing new", retry_after_s=retry_after_s
        )


class IntakePaused(Unavailable):
    """503: an operator has all nodes take no new payouts for now; what was taken goes on."""

    fixed_code = "INTAKE_PAUSED"

    def __init__(self, *, retry_after_s: int = 60) -> None:
        # The operator's words are not for clients.
        super().__init__(self.fixed_code, "no new payouts are taken for now", retry_after_s=retry_after_s)


class NodeStandby(Unavailable):
    """503: this node does not hold the lease of the payout's shard."""

    fixed_code = "NODE_STANDBY"

    def __init__(self, message: str = "this node does not own the payout", *, retry_after_s: int = 2) -> None:
        super().__init__(self.fixed_code, message, retry_after_s=retry_after_s)


class EngineBusy(Unavailable):
    """503: a mailbox or the memory's share of payouts is at its limit; nothing was taken."""

    fixed_code = "ENGINE_BUSY"

    def __init__(
        self, message: str = "more work is waiting than may wait", *, retry_after_s: int = 1
    ) -> None:
        super().__init__(self.fixed_code, message, retry_after_s=retry_after_s)


class EngineTimeout(Unavailable):
    """503: asked, and no answer within the limit. Whether it was done is unknown: repeat with the same key."""

    fixed_code = "ENGINE_TIMEOUT"

    def __init__(self, waited_s: float, *, retry_after_s: int = 5) -> None:
        super().__init__(
            self.fixed_code, f"the engine did not answer within {waited_s:g} s", retry_after_s=retry_after_s
        )


def problem(error: Exception, *, request_id: str, instance: str) -> dict[str, Any]:
    """The RFC 9457 problem document of an error; safe to send to anyone.

    Phone numbers in messages are masked. Of what is our own fault (500) the client learns the title only: the
    message may name rows and rules; it belongs into the log, under the same `request_id`.

    Args:
        error: ours, or any other, which is then an `INTERNAL_ERROR`.
        request_id: as in the header `X-Request-ID`.
        instance: the path of the request, without its query.
    """
    shown = error if isinstance(error, NepXyError) else NepXyError("INTERNAL_ERROR", "unexpected")
    ours_alone = not isinstance(shown, RequestError | Unavailable)
    document: dict[str, Any] = {
        "type": f"urn:nepxy:problem:{shown.code.lower().replace('_', '-')}",
        "title": shown.info.title,
        "status": shown.http_status,
        "detail": "something went wrong on our side" if ours_alone else _without_phones(shown.message),
        "instance": instance,
        "code": shown.code,
        "hint": CODES["INTERNAL_ERROR"].what_to_do if ours_alone else _without_phones(shown.hint),
        "request_id": request_id,
    }
    if shown.fields and not ours_alone:
        document["fields"] = [
            {
                "name": field.name,
                "problem": _without_phones(field.problem),
                "hint": _without_phones(field.hint),
            }
            for field in shown.fields
        ]
    return document if ours_alone else {**shown.members(), **document}


def errors_page() -> str:
    """`docs/errors.md`, in Markdown."""
    head = (
        "# Error codes\n\n"
        "Generated from `nepxy/errors.py` by `python -m nepxy.errors > docs/errors.md`: change it there.\n\n"
        "Errors are RFC 9457 problem documents. `code` is stable for ever: decide on it, never on `title` or\n"
        "`detail`. `type` is `urn:nepxy:problem:` and the code in lower case, with dashes.\n\n"
        "| code | HTTP | meaning | what to do |\n| --- | --- | --- | --- |\n"
    )
    rows = (
        f"| `{info.code}` | {info.http_status} | {info.title}{' (retired)' if info.retired else ''} "
        f"| {info.what_to_do} |\n"
        for info in CODES.values()
    )
    return head + "".join(rows)


# The twin of nepxy/config/masking.py, coarser: a leaf cannot import it. Dashes and letters beside the digits mean
# an id, such as the first group of a UUID, which a client needs whole. A test compares the two.
_PHONE = re.compile(r"\+\d[\d ().-]{5,}\d|(?<![\w-])\d{8,}(?![\w-])")


def _without_phones(text: str) -> str:
    return _PHONE.sub(lambda found: f"*****{found.group()[-3:]}", text)


if __name__ == "__main__":
    sys.stdout.write(errors_page())
