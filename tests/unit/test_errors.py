"""Every error has a stable code from the one table, and renders as a problem document that gives nothing away."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepxy import errors
from nepxy.config.masking import mask_phone

ROOT = Path(__file__).parents[2]

EXAMPLES: list[Callable[[], errors.NepXyError]] = [
    lambda: errors.ValidationFailed([errors.FieldProblem("amount", "is not an integer", "send 1000")]),
    lambda: errors.BadJson(),
    lambda: errors.ContentTypeUnsupported("text/xml"),
    lambda: errors.BodyTooLarge(65_536),
    lambda: errors.CursorInvalid(),
    lambda: errors.RouteNotFound("/v1/nothing"),
    lambda: errors.MethodNotAllowed("PUT", {"POST", "GET"}),
    lambda: errors.IdempotencyKeyMissing(),
    lambda: errors.IdempotencyKeyInvalid("is empty"),
    lambda: errors.IdempotencyConflict(["amount", "currency"]),
    lambda: errors.DuplicateExternalRef("0192a3b4-5678-7123-8123-123456789012"),
    lambda: errors.PayoutNotFound("0192a3b4-5678-7123-8123-123456789012"),
    lambda: errors.PayoutNotCancellable("0192a3b4-5678-7123-8123-123456789012", "SENT"),
    lambda: errors.RateLimited(1),
    lambda: errors.BodyTooSlow(10),
    lambda: errors.TokenMissing(),
    lambda: errors.TokenInvalid(),
    lambda: errors.TokenExpired(),
    lambda: errors.TokenNotYetValid(),
    lambda: errors.ClientCredentialsInvalid(),
    lambda: errors.SessionOver(),
    lambda: errors.CsrfTokenWrong(),
    lambda: errors.TooManyTries(retry_after_s=30),
    lambda: errors.ClientDisabled(),
    lambda: errors.ScopeMissing("payouts:write"),
    lambda: errors.ProviderUnknown("TMONY", ["TMONEY", "FLOOZ"]),
    lambda: errors.ProviderDisabled("FLOOZ"),
    lambda: errors.LimitExceeded(
        "AMOUNT_PER_DAY", allowed=10**9, used=10**9, asked=10**8, currency="XOF", frees_at=None
    ),
    lambda: errors.CorridorNotServed("BJ", "TG", served=["GH"]),
    lambda: errors.WebhookRefused("MISSING_STATUS", "TMONEY"),
    lambda: errors.ReconcileRunning("0193a5c8-0000-7000-8000-000000000001"),
    lambda: errors.ReportNotFound("0193a5c8-0000-7000-8000-000000000001"),
    lambda: errors.DatabaseUnavailable(),
    lambda: errors.Draining(),
    lambda: errors.IntakePaused(),
    lambda: errors.NodeStandby(),
    lambda: errors.EngineBusy(),
    lambda: errors.EngineTimeout(10.0),
    lambda: errors.ConfigError(["PORT: 'abc' cannot be read; set a whole number"]),
    lambda: errors.StaleVersion("payout x is at version 4, not 3"),
    lambda: errors.InvariantViolation("INVARIANT_VIOLATED", "a payout is SENT without an attempt"),
]


def document(error: Exception) -> dict[str, object]:
    return errors.problem(error, request_id="req-1", instance="/v1/payouts")


def subclasses(cls: type[errors.NepXyError]) -> Iterator[type[errors.NepXyError]]:
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_class_with_a_fixed_code_has_an_example_here() -> None:
    made = {type(example()) for example in EXAMPLES}
    ours = {
        cls for cls in subclasses(errors.NepXyError) if cls.__module__ == "nepxy.errors" and cls.fixed_code
    }
    assert ours - made == set()


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_problem_document_is_complete(example: Callable[[], errors.NepXyError]) -> None:
    error = example()
    body = document(error)
    assert body["status"] == errors.CODES[error.code].http_status == error.http_status
    assert body["code"] == error.code
    assert body["type"] == f"urn:nepxy:problem:{error.code.lower().replace('_', '-')}"
    assert body["title"] == errors.CODES[error.code].title
    assert body["detail"]
    assert body["hint"]
    assert (body["instance"], body["request_id"]) == ("/v1/payouts", "req-1")
    json.dumps(body)


@pytest.mark.parametrize("info", errors.CODES.values(), ids=lambda info: info.code)
def test_every_code_tells_its_reader_what_to_do(info: errors.CodeInfo) -> None:
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", info.code)
    assert 400 <= info.http_status < 600
    assert info.title
    assert info.what_to_do.endswith(".")


def test_no_code_is_in_the_table_twice() -> None:
    assert len(errors.CODES) == len(errors._TABLE)


def test_an_error_cannot_be_made_with_a_code_that_is_not_in_the_table() -> None:
    with pytest.raises(ValueError, match=r"PAYOUT_LOST is not in .*: add it there"):
        errors.NepXyError("PAYOUT_LOST", "gone")


def test_a_class_cannot_be_made_with_a_code_that_is_not_in_the_table() -> None:
    with pytest.raises(ValueError, match="PAYOUT_LOST is not in"):
        type("PayoutLost", (errors.RequestError,), {"fixed_code": "PAYOUT_LOST"})


def test_every_code_written_in_our_source_is_in_the_table() -> None:
    names = {cls.__name__ for cls in subclasses(errors.NepXyError)} | {"NepXyError"}
    unknown = []
    for file in (ROOT / "nepxy").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id=name) | ast.Attribute(attr=name),
                    args=[ast.Constant(value=str(code)), *_],
                ) if name in names and re.fullmatch(r"[A-Z]+(_[A-Z]+)+", code) and code not in errors.CODES:
                    unknown.append(f"{file.relative_to(ROOT)}:{node.lineno} {code}")
    assert unknown == [], "add these to the table in nepxy/errors.py"


def test_the_page_of_codes_is_what_the_table_generates() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    assert page == errors.errors_page(), "run: python -m nepxy.errors > docs/errors.md"


def test_statuses_are_those_that_clients_were_promised() -> None:
    promised = {
        "VALIDATION_FAILED": 422,
        "JSON_INVALID": 400,
        "CONTENT_TYPE_UNSUPPORTED": 415,
        "BODY_TOO_LARGE": 413,
        "IDEMPOTENCY_KEY_MISSING": 400,
        "IDEMPOTENCY_CONFLICT": 409,
        "DUPLICATE_EXTERNAL_REF": 409,
        "PAYOUT_NOT_FOUND": 404,
        "PAYOUT_NOT_CANCELLABLE": 409,
        "TOKEN_MISSING": 401,
        "SCOPE_MISSING": 403,
        "CLIENT_DISABLED": 403,
        "WEBHOOK_SECRET_NOT_CONFIGURED": 500,
        "MISSING_SIGNATURE": 401,
        "INVALID_SIGNATURE": 401,
        "INVALID_JSON": 400,
        "PROVIDER_UNKNOWN": 422,
        "DATABASE_UNAVAILABLE": 503,
        "ENGINE_TIMEOUT": 503,
    }
    assert {code: errors.CODES[code].http_status for code in promised} == promised


def test_a_wrong_field_is_named_with_what_to_do() -> None:
    wrong = errors.FieldProblem("amount", "is not an integer in minor units (XOF has none)", "send 1000")
    body = document(errors.ValidationFailed([wrong, errors.FieldProblem("currency", "is missing")]))
    assert body["detail"] == "wrong: amount, currency"
    assert body["fields"] == [
        {"name": "amount", "problem": "is not an integer in minor units (XOF has none)", "hint": "send 1000"},
        {"name": "currency", "problem": "is missing", "hint": ""},
    ]


def test_an_idempotency_conflict_names_the_fields_and_not_their_values() -> None:
    error = errors.IdempotencyConflict(["amount"])
    assert "different: amount" in error.message
    assert error.differing == ("amount",)


def test_a_duplicate_external_ref_leads_to_the_payout_that_has_it() -> None:
    body = document(errors.DuplicateExternalRef("01234567-1234-7123-8123-123456789012"))
    assert body["transaction_id"] == "01234567-1234-7123-8123-123456789012"
    assert "01234567-1234-7123-8123-123456789012" in str(body["detail"])


def test_an_unknown_provider_gets_a_did_you_mean() -> None:
    error = errors.ProviderUnknown("tmony", ["TMONEY", "FLOOZ"])
    assert error.fields == (errors.FieldProblem("provider", "is not known", "did you mean TMONEY?"),)


def test_headers_that_the_status_requires_are_there() -> None:
    assert errors.MethodNotAllowed("PUT", ["POST", "GET"]).headers() == {"Allow": "GET, POST"}
    assert errors.DatabaseUnavailable(retry_after_s=7).headers() == {"Retry-After": "7"}
    assert errors.TokenMissing().headers() == {"WWW-Authenticate": 'Bearer realm="nepxy"'}
    assert 'error="invalid_token"' in errors.TokenExpired().headers()["WWW-Authenticate"]
    assert 'scope="payouts:write"' in errors.ScopeMissing("payouts:write").headers()["WWW-Authenticate"]


def test_a_config_error_lists_every_problem_in_its_text() -> None:
    error = errors.ConfigError(["PORT: wrong; mend it", "JWT_SECRET: is missing; set it"])
    assert error.problems == ("PORT: wrong; mend it", "JWT_SECRET: is missing; set it")
    assert str(error) == (
        "CONFIG_INVALID: 2 settings are wrong:\n  - PORT: wrong; mend it\n  - JWT_SECRET: is missing; set it"
    )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password=hunter2 at row 7"),
        errors.InvariantViolation("INVARIANT_VIOLATED", "password=hunter2 at row 7"),
        errors.StaleVersion("password=hunter2 at row 7"),
        errors.ConfigError(["password=hunter2 at row 7"]),
    ],
)
def test_what_is_our_own_fault_tells_a_client_nothing_about_the_inside(error: Exception) -> None:
    body = document(error)
    assert body["status"] == 500
    assert "hunter2" not in json.dumps(body)
    assert "row 7" not in json.dumps(body)


def test_an_invariant_keeps_its_message_for_the_log() -> None:
    error = errors.InvariantViolation("INVARIANT_VIOLATED", "SENT without an attempt")
    assert str(error) == "INVARIANT_VIOLATED: SENT without an attempt"


@given(st.from_regex(r"\+?(228|229|233)[0-9]{8,10}", fullmatch=True))
def test_no_problem_document_holds_a_whole_phone_number(phone: str) -> None:
    field = errors.FieldProblem("phone_e164", f"{phone!r} is not E.164", f"did you mean +{phone}?")
    body = json.dumps(document(errors.ValidationFailed([field])))
    body += json.dumps(document(errors.BadJson(f"near {phone}")))
    assert phone.lstrip("+") not in body
    # The twin in nepxy/config/masking.py agrees that this is a number.
    assert phone not in mask_phone(phone)


def test_an_id_beside_a_number_stays_whole() -> None:
    body = document(errors.PayoutNotFound("12345678-1234-7123-8123-123456789012"))
    assert "12345678-1234-7123-8123-123456789012" in str(body["detail"])
