"""The API document has every route and every error code, and its page shows it without a script."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from nepxy.errors import CODES
from nepxy.http.api_docs.document import error_codes, openapi
from nepxy.http.api_docs.operation import Caller
from nepxy.http.app import ROUTES
from nepxy.http.routes.api_docs import OPERATIONS
from nepxy.http.schemas import PayoutRequest, PayoutView
from tests.http.conftest import Paper

NOT_FOR_THE_DOCUMENT = re.compile(r"/console(/|$)")
"""The console's own page and session are for its own script."""

NEVER_ANSWERED_BY_A_ROUTE = {
    "METHOD_NOT_ALLOWED",  # of what is no operation
    "CONFIG_INVALID",  # of a start
    "STALE_VERSION",  # of a write, inside
    # Broken invariants: a client sees them as INTERNAL_ERROR's equals, 500.
    "INVARIANT_VIOLATED",
    "PAYOUT_MOVE_IMPOSSIBLE",
    "PAYOUT_RECORD_CONTRADICTS_ITSELF",
    "RETRY_WITHOUT_FAILURE",
}


def document() -> dict[str, Any]:
    return openapi(OPERATIONS, version="1.2.3")


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    routes = {(method, path) for method, path, _ in ROUTES if not NOT_FOR_THE_DOCUMENT.match(path)}
    assert set(OPERATIONS) == routes


def test_every_error_code_is_an_answer_of_some_route() -> None:
    answered = {code for (_, path), one in OPERATIONS.items() for code in error_codes(one, path)}
    live = {code for code, info in CODES.items() if not info.retired}
    assert live - answered == NEVER_ANSWERED_BY_A_ROUTE & live
    assert document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == list(CODES)


def test_every_answer_of_a_protected_route_names_what_a_bad_token_gets() -> None:
    for (method, path), one in OPERATIONS.items():
        responses = document()["paths"][path][method.lower()]["responses"]
        if one.caller is not Caller.ANYBODY:
            assert {"401", "403", "503"} <= set(responses), path
            assert one.scope, path


def test_every_reference_leads_somewhere() -> None:
    text = str(document())
    schemas = document()["components"]["schemas"]
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in schemas


@pytest.mark.parametrize("model", [PayoutRequest, PayoutView])
def test_the_schemas_are_those_of_the_models_that_validate(model: type[BaseModel]) -> None:
    assert set(document()["components"]["schemas"][model.__name__]["properties"]) == set(model.model_fields)


def test_operation_ids_are_unique() -> None:
    ids = [one["operationId"] for methods in document()["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))


async def test_the_document_and_its_page_are_served(paper: Paper) -> None:
    answer = await paper.client.get("/openapi.json")
    served = await answer.json()
    assert (served["openapi"], served["info"]["version"]) == ("3.1.0", "1.2.3")

    page = await paper.client.get("/docs")
    text = await page.text()
    assert page.content_type == "text/html"
    assert "script" not in page.headers["Content-Security-Policy"]
    assert "<script" not in text
    assert not re.search(r"(src|href)=\"https?:", text)
    for path in served["paths"]:
        assert path in text
    style = await paper.client.get("/docs/style.css")
    assert (style.status, style.content_type) == (200, "text/css")
