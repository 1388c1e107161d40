import json

import pytest

from nepxy.sandbox.config import AuthMode
from tests.sandbox.support import API_KEY, ORDINARY, Inbox, Play, Sandbox, a_submit


async def test_a_submit_is_accepted_and_settles(sandbox: Sandbox, inbox: Inbox) -> None:
    status, body = await sandbox.submit()
    assert status == 202
    assert body["status"] == "ACCEPTED"
    assert body["echo"] == a_submit()
    assert body["provider_tx_id"] != body["provider_ref"]

    await inbox.wait_for(1)

    assert await sandbox.status(body["provider_ref"]) == (
        200,
        {"status": "SUCCESS", "provider_ref": body["provider_ref"], **a_submit()},
    )
    assert await sandbox.moved() == 1


async def test_an_order_is_pending_until_it_settles_and_no_money_has_moved(play: Play) -> None:
    sandbox = await play(settle_delay_s=3600.0)
    _, accepted = await sandbox.submit()
    _, body = await sandbox.status(accepted["provider_ref"])
    assert body["status"] == "PENDING"
    assert await sandbox.moved() == 0


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "INVALID_JSON"),
        (b"{", 400, "INVALID_JSON"),
        (b"[]", 400, "INVALID_JSON"),
        (b'"x"', 400, "INVALID_JSON"),
        (b"\xff\xfe", 400, "INVALID_JSON"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(
    sandbox: Sandbox, raw: bytes, status: int, code: str
) -> None:
    answer, body = await sandbox.submit_raw(raw)
    assert (answer, body["error"]) == (status, code)


@pytest.mark.parametrize("field", ["external_id", "amount_cents", "currency", "msisdn"])
async def test_a_missing_field_is_refused(sandbox: Sandbox, field: str) -> None:
    submit = a_submit()
    del submit[field]
    status, body = await sandbox.submit_raw(json.dumps(submit).encode())
    assert (status, body["error"]) == (400, "MISSING_FIELD")
    assert field in body["message"]


async def test_an_unknown_field_is_refused(sandbox: Sandbox) -> None:
    status, body = await sandbox.submit(amount=1000)
    assert (status, body["error"]) == (400, "UNKNOWN_FIELD")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("amount_cents", 1000.0, "INVALID_TYPE"),
        ("amount_cents", "1000", "INVALID_TYPE"),
        ("amount_cents", True, "INVALID_TYPE"),
        ("amount_cents", None, "INVALID_TYPE"),
        ("amount_cents", 10**30, "INVALID_TYPE"),
        ("amount_cents", 0, "INVALID_AMOUNT"),
        ("amount_cents", -1, "INVALID_AMOUNT"),
        ("amount_cents", 10**12 + 1, "INVALID_AMOUNT"),
        ("external_id", 7, "INVALID_TYPE"),
        ("external_id", "", "INVALID_EXTERNAL_ID"),
        ("external_id", "x" * 65, "INVALID_EXTERNAL_ID"),
        ("external_id", "a/b", "INVALID_EXTERNAL_ID"),
        ("currency", None, "INVALID_TYPE"),
        ("currency", "xof", "UNSUPPORTED_CURRENCY"),
        ("currency", "GHS", "UNSUPPORTED_CURRENCY"),
        ("msisdn", 22890001234, "INVALID_TYPE"),
        ("msisdn", "22890001234", "INVALID_MSISDN"),
        ("msisdn", "+2289000123", "INVALID_MSISDN"),
        ("msisdn", "+228900012345", "INVALID_MSISDN"),
        ("msisdn", "+22896001234", "INVALID_MSISDN"),
        ("msisdn", "+233900012345", "INVALID_MSISDN"),
        ("msisdn", "+22890001234\n", "INVALID_MSISDN"),
        ("msisdn", "+2289000123٤", "INVALID_MSISDN"),
    ],
)
async def test_a_bad_value_is_refused_and_nothing_is_noted(
    sandbox: Sandbox, field: str, value: object, code: str
) -> None:
    status, body = await sandbox.submit_raw(json.dumps({**a_submit(), field: value}).encode())
    assert (status, body["error"]) == (422, code)
    summary = await sandbox.control("summary")
    assert (summary["submits_received"], summary["orders_accepted"]) == (0, 0)


@pytest.mark.parametrize("prefix", ["70", "71", "72", "73", "90", "91", "92", "93"])
async def test_every_togocom_range_is_taken(sandbox: Sandbox, prefix: str) -> None:
    status, _ = await sandbox.submit(msisdn=f"+228{prefix}001234")
    assert status == 202


@pytest.mark.parametrize(
    ("mode", "headers", "status"),
    [
        (AuthMode.BEARER, {"Authorization": f"Bearer {API_KEY}"}, 202),
        (AuthMode.BEARER, {"Authorization": "Bearer wrong"}, 401),
        (AuthMode.BEARER, {"Authorization": API_KEY}, 401),
        (AuthMode.BEARER, {"X-Api-Key": API_KEY}, 401),
        (AuthMode.BEARER, {}, 401),
        (AuthMode.X_API_KEY, {"X-Api-Key": API_KEY}, 202),
        (AuthMode.X_API_KEY, {"X-Api-Key": "wrong"}, 401),
        (AuthMode.X_API_KEY, {"Authorization": f"Bearer {API_KEY}"}, 401),
        (AuthMode.NONE, {}, 202),
    ],
)
async def test_credentials_are_checked(
    play: Play, mode: AuthMode, headers: dict[str, str], status: int
) -> None:
    sandbox = await play(provider={"auth_mode": mode})
    answer, body = await sandbox.submit_raw(json.dumps(a_submit()).encode(), headers)
    assert answer == status
    if status == 401:
        assert body["error"] == "UNAUTHORIZED"
        assert await sandbox.moved() == 0
        async with sandbox.client.get("/tmoney/v1/cashout/any", headers=headers) as response:
            assert response.status == 401


async def test_an_unknown_reference_is_404_in_json(sandbox: Sandbox) -> None:
    assert await sandbox.status("nothing") == (404, {"error": "NOT_FOUND", "message": "no such cashout"})


async def test_our_reference_finds_nothing_by_default(sandbox: Sandbox) -> None:
    await sandbox.submit()
    status, _ = await sandbox.status("ref-1")
    assert status == 404


async def test_our_reference_finds_the_order_where_the_provider_allows_it(play: Play) -> None:
    sandbox = await play(provider={"status_lookup_by_our_reference": True})
    _, accepted = await sandbox.submit()
    status, body = await sandbox.status("ref-1")
    assert (status, body["provider_ref"]) == (200, accepted["provider_ref"])


async def test_an_unknown_path_is_json_too(sandbox: Sandbox) -> None:
    async with sandbox.client.get("/tmoney/nowhere") as response:
        assert (response.status, (await response.json())["error"]) == (404, "NOT_FOUND")
    async with sandbox.client.get("/tmoney/v1/cashout") as response:
        assert response.status == 405
        assert response.content_type == "application/json"


async def test_secrets_do_not_print(sandbox: Sandbox) -> None:
    assert API_KEY not in repr(sandbox.config)
    assert "secret-of" not in repr(sandbox.config)


async def test_the_ordinary_number_is_ordinary() -> None:
    assert ORDINARY == "+22890001234"
