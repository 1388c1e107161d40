"""The stand-in of MTN MoMo, held against its contract (provider page section 3) by hand-made requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import MomoConfig, SandboxConfig
from nepxy.sandbox.momo_magic import TRANSFERS, describe_momo
from tests.sandbox.support import CONNECTION_LOST, PATIENCE_S, eventually

BASE = "/momo/disbursement"
KEY, SUBSCRIPTION = "api-key-of-tests", "subscription-key-of-tests"
USER = "11111111-1111-4111-8111-111111111111"
REFS = tuple(f"00000000-0000-4000-8000-{number:012d}" for number in range(200))
REF = REFS[0]
NOTHING = object()
"""Stands for what is left out."""


class Callbacks:
    """Where MTN calls back: answers 200 once the gate is open, remembers all."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        app = web.Application()
        app.router.add_route("*", "/callback/{token}", self._take)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/callback/unguessable"))

    async def wait_for(self, count: int) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
        async def are_there() -> list[Any] | None:
            return self.received if len(self.received) >= count else None

        return await eventually(are_there)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.received.append((request.method, dict(request.headers), body))
        await self.gate.wait()
        return web.Response()


class Client:
    """Somebody at MTN's API."""

    def __init__(self, config: SandboxConfig) -> None:
        self.http = TestClient[web.Request, web.Application](TestServer(create_app(config)))
        self.environment = config.momo.target_environment
        self.currency = config.momo.currency
        self.token = ""

    async def ask_for_token(self, **changes: str) -> tuple[int, bytes]:
        headers = {
            "Authorization": aiohttp.encode_basic_auth(changes.get("user", USER), changes.get("key", KEY)),
            "Ocp-Apim-Subscription-Key": changes.get("subscription", SUBSCRIPTION),
            "Content-Length": "0",
        }
        async with self.http.post(f"{BASE}/token/", headers=headers) as response:
            return response.status, await response.read()

    async def log_in(self) -> None:
        status, body = await self.ask_for_token()
        assert status == 200, body
        self.token = json.loads(body)["access_token"]

    def headers(self, **changes: object) -> dict[str, str]:
        made: dict[str, object] = {
            "Authorization": f"Bearer {self.token}",
            "Ocp-Apim-Subscription-Key": SUBSCRIPTION,
            "X-Target-Environment": self.environment,
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return {name: str(value) for name, value in made.items() if value is not NOTHING}

    async def call(
        self, method: str, path: str, body: object = None, **headers: object
    ) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.http.request(
            method, f"{BASE}/v1_0/{path}", data=data, headers=self.headers(**headers)
        ) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw else {}

    async def transfer(
        self, ref: str = REF, *, headers: dict[str, object] | None = None, **changes: Any
    ) -> tuple[int, dict[str, Any]]:
        fields = {"X_Reference_Id": ref, "Content_Type": "application/json", **(headers or {})}
        return await self.call("POST", "transfer", self.a_transfer(**changes), **fields)

    def a_transfer(self, **changes: object) -> dict[str, object]:
        party = changes.pop("party", "2290151001234")
        body: dict[str, object] = {
            "amount": "1000",
            "currency": self.currency,
            "externalId": "ours-1",
            "payee": {"partyIdType": "MSISDN", "partyId": party},
            "payerMessage": "Payout",
            "payeeNote": "Thank you",
            **changes,
        }
        return {name: value for name, value in body.items() if value is not NOTHING}

    async def status(self, ref: str = REF) -> tuple[int, dict[str, Any]]:
        return await self.call("GET", f"transfer/{ref}")

    async def settled(self, ref: str = REF) -> dict[str, Any]:
        async def is_settled() -> dict[str, Any] | None:
            status, body = await self.status(ref)
            return body if status == 200 and body["status"] in ("SUCCESSFUL", "FAILED") else None

        return await eventually(is_settled)

    async def control(self, path: str) -> Any:
        async with self.http.get(f"/_sandbox/{path}") as response:
            return await response.json()

    async def turn(self, **knobs: object) -> None:
        async with self.http.post("/_sandbox/momo", json=knobs) as response:
            assert response.status == 200, await response.text()

    async def set_faults(self, **knobs: object) -> None:
        async with self.http.post("/_sandbox/faults", params={"provider": "momo"}, json=knobs) as response:
            assert response.status == 200, await response.text()

    async def moved(self, ref: str = REF) -> int:
        return int((await self.control(f"ledger/{ref}"))["moved_count"])

    async def at_rest(self) -> dict[str, Any]:
        async def is_at_rest() -> dict[str, Any] | None:
            summary: dict[str, Any] = await self.control("summary")
            return None if summary["orders_settling"] or summary["webhooks"]["outstanding"] else summary

        return await eventually(is_at_rest)


@asynccontextmanager
async def playing(momo: dict[str, Any] | None = None, **changes: Any) -> AsyncIterator[Client]:
    account: dict[str, Any] = {
        "api_key": KEY,
        "api_user": USER,
        "subscription_key": SUBSCRIPTION,
        "plain_http_callbacks": True,
        "status_reads_per_s_max": 10_000,
        **(momo or {}),
    }
    pace: dict[str, Any] = {"settle_delay_s": 0.02, "hang_s": 0.02, "webhook_backoff_s": 0.01}
    client = Client(SandboxConfig(momo=MomoConfig(**account), **{**pace, **changes}))
    await client.http.start_server()
    try:
        await client.log_in()
        yield client
    finally:
        await client.http.close()


@pytest.fixture
async def momo() -> AsyncIterator[Client]:
    async with playing() as client:
        yield client


@pytest.fixture
async def callbacks() -> AsyncIterator[Callbacks]:
    made = Callbacks()
    await made.server.start_server()
    yield made
    await made.server.close()


# ---- a good day --------------------------------------------------------------------------------------------


async def test_a_transfer_is_taken_without_a_body_settles_and_is_found_by_our_reference(momo: Client) -> None:
    assert await momo.transfer() == (202, {})
    status, body = await momo.status()
    assert (status, body["status"]) == (200, "PENDING")
    assert {"financialTransactionId", "reason"}.isdisjoint(body)

    done = await momo.settled()

    transfer = momo.a_transfer()
    assert done == {
        **{name: transfer[name] for name in ("amount", "currency", "externalId", "payee")},
        "status": "SUCCESSFUL",
        "financialTransactionId": done["financialTransactionId"],
    }
    assert done["financialTransactionId"].isdigit()
    account = await momo.control(f"ledger/{REF}")
    assert (account["moved_count"], account["amount"], account["currencies"]) == (1, 100_000, ["EUR"])
    assert account["msisdns"] == ["+2290151001234"]


async def test_an_upper_case_reference_is_the_same_reference(momo: Client) -> None:
    ref = "ABCDEF00-0000-4000-8000-000000000000"
    assert (await momo.transfer(ref))[0] == 202
    assert (await momo.transfer(ref.lower()))[0] == 409
    await momo.settled(ref.lower())
    assert await momo.moved(ref.lower()) == 1


# ---- tokens and keys ---------------------------------------------------------------------------------------


async def test_a_token_request_with_a_body_or_without_a_length_gets_an_html_411(momo: Client) -> None:
    headers = {
        "Authorization": aiohttp.encode_basic_auth(USER, KEY),
        "Ocp-Apim-Subscription-Key": SUBSCRIPTION,
    }
    async with momo.http.post(f"{BASE}/token/", data=b"{}", headers=headers) as response:
        assert (response.status, response.content_type) == (411, "text/html")

    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    async with momo.http.post(f"{BASE}/token/", data=nothing(), headers=headers) as response:
        assert (response.status, response.content_type) == (411, "text/html")


@pytest.mark.parametrize(
    "changes", [{"key": "wrong"}, {"user": "wrong"}, {"subscription": "wrong"}, {"subscription": ""}]
)
async def test_a_token_needs_user_key_and_subscription(momo: Client, changes: dict[str, str]) -> None:
    status, body = await momo.ask_for_token(**changes)
    assert status == 401
    assert b"access_token" not in body


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"Ocp_Apim_Subscription_Key": "wrong"}, "access_denied"),
        ({"Ocp_Apim_Subscription_Key": NOTHING}, "access_denied"),
        ({"Authorization": "Bearer made-up"}, "invalid_token"),
        ({"Authorization": NOTHING}, "invalid_token"),
        ({"Authorization": aiohttp.encode_basic_auth(USER, KEY)}, "invalid_token"),
    ],
)
async def test_every_call_needs_the_subscription_and_a_token(
    momo: Client, headers: dict[str, object], error: str
) -> None:
    for method, path in (
        ("POST", "transfer"),
        ("GET", f"transfer/{REF}"),
        ("GET", "account/balance"),
        ("GET", "accountholder/msisdn/2290151001234/active"),
    ):
        status, body = await momo.call(method, path, **headers)
        assert (status, body["statusCode"], body["error"]) == (401, 401, error), path
    assert (await momo.control("summary"))["submits_received"] == 0


async def test_a_token_expires_and_another_one_is_taken() -> None:
    async with playing({"token_life_s": 1}) as momo:
        assert (await momo.status())[0] == 404

        async def has_expired() -> bool | None:
            return (await momo.status())[1].get("error") == "invalid_token" or None

        await eventually(has_expired)
        await momo.log_in()
        assert (await momo.status())[0] == 404


async def test_tokens_can_be_revoked_and_the_key_rotated(momo: Client) -> None:
    await momo.turn(revoke_tokens=True, api_key="another")
    assert (await momo.status())[0] == 401
    assert (await momo.ask_for_token())[0] == 401
    assert (await momo.ask_for_token(key="another"))[0] == 200


async def test_a_knob_that_there_is_not_is_refused(momo: Client) -> None:
    for knobs in ({"balanse": 1}, {"balance": "-1"}, {"balance": "NaN"}, {"api_key": ""}):
        async with momo.http.post("/_sandbox/momo", json=knobs) as response:
            assert response.status == 422


# ---- strictness --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ref",
    [
        "client-ref-123",
        f"cashout-{REF}",
        "00000000-0000-1000-8000-000000000000",
        "00000000-0000-4000-1000-000000000000",
        REF.replace("-", ""),
        f"{{{REF}}}",
        "",
    ],
)
async def test_a_reference_that_is_no_uuid4_is_a_400(momo: Client, ref: str) -> None:
    status, body = await momo.transfer(ref)
    assert (status, body["code"]) == (400, "INVALID_REFERENCE_ID")
    assert (await momo.control("summary"))["submits_received"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 1000},
        {"amount": "1000.005"},
        {"amount": "1,000"},
        {"amount": "-5"},
        {"amount": "0"},
        {"amount": "0.00"},
        {"amount": "007"},
        {"amount": "1e3"},
        {"amount": "€10"},
        {"amount": NOTHING},
        {"currency": 978},
        {"currency": ""},
        {"currency": NOTHING},
        {"externalId": NOTHING},
        {"externalId": 7},
        {"payee": NOTHING},
        {"payee": "2290151001234"},
        {"payee": {"partyIdType": "MSISDN"}},
        {"payee": {"partyIdType": "MSISDN", "partyId": "2290151001234", "name": "Awa"}},
        {"payee": {"partyIdType": "EMAIL", "partyId": "awa@example.com"}},
        {"party": "+2290151001234"},
        {"party": "0151001234"},
        {"party": "229 0151001234"},
        {"party": 2290151001234},
        {"payerMessage": "it's"},
        {"payeeNote": "d'accord"},
        {"payeeNote": "été"},
        {"payeeNote": "a & b"},
        {"payeeNote": "x" * 161},
        {"payerMessage": None},
        {"callbackUrl": "https://example.com"},
    ],
)
async def test_a_body_that_is_not_exactly_right_is_a_400_and_moves_nothing(
    momo: Client, changes: dict[str, Any]
) -> None:
    status, body = await momo.transfer(**changes)
    assert (status, body["code"]) == (400, "BAD_REQUEST")
    assert (await momo.control("summary"))["submits_received"] == 0
    assert (await momo.status())[0] == 404


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'"x"', b"null"])
async def test_what_is_no_json_object_is_a_400(momo: Client, raw: bytes) -> None:
    headers = {"X_Reference_Id": REF, "Content_Type": "application/json"}
    assert (await momo.call("POST", "transfer", raw, **headers))[0] == 400


async def test_notes_may_be_left_out_and_have_160_characters(momo: Client) -> None:
    assert (await momo.transfer(REFS[1], payerMessage=NOTHING, payeeNote=NOTHING))[0] == 202
    assert (await momo.transfer(REFS[2], payerMessage="x" * 160))[0] == 202


async def test_the_wrong_content_type_is_a_400(momo: Client) -> None:
    assert (await momo.transfer(headers={"Content_Type": "text/plain"}))[0] == 400


async def test_the_sandbox_takes_euros_only_and_says_so_with_a_500(momo: Client) -> None:
    status, body = await momo.transfer(currency="XOF")
    assert (status, body["code"]) == (500, "INVALID_CURRENCY")
    status, body = await momo.call("GET", "account/balance/XOF")
    assert (status, body["code"]) == (500, "INVALID_CURRENCY")


async def test_a_country_takes_its_own_currency_and_no_decimals_of_francs() -> None:
    async with playing({"target_environment": "mtnbenin", "currency": "XOF"}) as benin:
        assert (await benin.transfer(REFS[1], amount="1000.00"))[0] == 400
        status, body = await benin.transfer(REFS[2], currency="EUR")
        assert (status, body["code"]) == (500, "INVALID_CURRENCY")
        assert (await benin.transfer(amount="1000"))[0] == 202
        await benin.settled()
        assert (await benin.control(f"ledger/{REF}"))["amount"] == 1000
    async with playing({"target_environment": "mtnghana", "currency": "GHS"}) as ghana:
        assert (await ghana.transfer(amount="10.05", party="233240001234"))[0] == 202
        await ghana.settled()
        assert (await ghana.control(f"ledger/{REF}"))["amount"] == 1005


@pytest.mark.parametrize("environment", ["production", "mtnbenin", "", NOTHING])
async def test_another_target_environment_is_refused_with_a_500(momo: Client, environment: object) -> None:
    status, body = await momo.transfer(headers={"X_Target_Environment": environment})
    assert (status, body["code"]) == (500, "NOT_ALLOWED_TARGET_ENVIRONMENT")
    for path in (f"transfer/{REF}", "account/balance", "accountholder/msisdn/2290151001234/active"):
        status, body = await momo.call("GET", path, X_Target_Environment=environment)
        assert (status, body["code"]) == (500, "NOT_ALLOWED_TARGET_ENVIRONMENT")


@pytest.mark.parametrize(
    "url",
    [
        "http://nepxy.example.com/v1/webhooks/momo/x",
        "https://nepxy.example.com:8443/v1/webhooks/momo/x",
        "https://203.0.113.7/v1/webhooks/momo/x",
        "https://[2001:db8::1]/v1/webhooks/momo/x",
        "https://nepxy.example.com/v1/webhooks/momo?token=x",
        "https://other.example.com/v1/webhooks/momo/x",
        "nepxy.example.com",
        "https://[",
    ],
)
async def test_a_callback_url_that_mtn_would_not_call_is_refused(url: str) -> None:
    account = {"plain_http_callbacks": False, "provider_callback_host": "nepxy.example.com"}
    async with playing(account, webhook_tries_max=1) as momo:
        status, body = await momo.transfer(headers={"X_Callback_Url": url})
        assert (status, body["code"]) == (500, "INVALID_CALLBACK_URL_HOST")


async def test_a_public_callback_url_is_taken() -> None:
    account = {"plain_http_callbacks": False, "callback_copies": 0}
    async with playing(account) as momo:
        url = "https://nepxy.example.com/v1/webhooks/momo/x"
        assert (await momo.transfer(headers={"X_Callback_Url": url}))[0] == 202


# ---- repeated references -----------------------------------------------------------------------------------


async def test_a_repeated_reference_is_a_409_whatever_its_body_and_pays_once(momo: Client) -> None:
    await momo.transfer()
    for amount in ("1000", "5", "not one"):
        status, body = await momo.transfer(amount=amount)
        assert (status, body["code"]) == (409, "RESOURCE_ALREADY_EXIST")
        assert "Duplicated reference id" in body["message"]
    assert (await momo.settled())["amount"] == "1000"
    assert (await momo.transfer())[0] == 409
    await momo.at_rest()
    assert await momo.moved() == 1


async def test_fifty_at_once_under_one_reference_pay_once(momo: Client) -> None:
    answers = await asyncio.gather(*(momo.transfer() for _ in range(50)))
    assert sorted(status for status, _ in answers) == [202] + [409] * 49
    await momo.at_rest()
    assert await momo.moved() == 1


async def test_a_refused_reference_stays_burnt_and_is_found_nowhere(momo: Client) -> None:
    await momo.transfer(currency="XOF")
    assert (await momo.transfer())[0] == 409
    status, body = await momo.status()
    assert (status, body["code"]) == (404, "RESOURCE_NOT_FOUND")
    assert await momo.moved() == 0


async def test_a_failed_reference_stays_burnt(momo: Client) -> None:
    await momo.transfer(party="46733123457")
    assert (await momo.settled())["reason"] == "PAYEE_NOT_FOUND"
    assert (await momo.transfer())[0] == 409


async def test_a_request_that_never_arrived_burns_nothing(momo: Client) -> None:
    await momo.set_faults(drop_before_rate=1.0)
    with pytest.raises(CONNECTION_LOST):
        await momo.transfer()
    await momo.set_faults(drop_before_rate=0.0)
    assert (await momo.status())[0] == 404
    assert (await momo.transfer())[0] == 202


# ---- what becomes of it ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digits", "reason"), [(d, f.reason) for d, f in TRANSFERS.items() if f.script.name == "fails_later"]
)
async def test_mtns_magic_numbers_are_taken_and_fail(momo: Client, digits: str, reason: str) -> None:
    for ref, party in ((REFS[1], f"467331234{digits}"), (REFS[2], f"22901510006{digits}")):
        assert await momo.transfer(ref, party=party) == (202, {})
        done = await momo.settled(ref)
        assert (done["status"], done["reason"]) == ("FAILED", reason)
        assert "financialTransactionId" not in done
        assert await momo.moved(ref) == 0


async def test_454_is_created_then_pending_then_successful() -> None:
    async with playing(settle_delay_s=0.1) as momo:
        await momo.transfer(party="46733123454")
        seen: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while seen[-1:] != ["SUCCESSFUL"]:
                word = (await momo.status())[1]["status"]
                if word not in seen[-1:]:
                    seen.append(word)
                await asyncio.sleep(0.005)
        assert seen == ["CREATED", "PENDING", "SUCCESSFUL"]
        assert await momo.moved() == 1


async def test_453_is_pending_for_a_long_time_and_expires(callbacks: Callbacks) -> None:
    async with playing(settle_delay_s=0.001) as momo:
        await momo.transfer(party="46733123453", headers={"X_Callback_Url": callbacks.url})
        assert (await momo.status())[1]["status"] == "PENDING"
        _, _, body = (await callbacks.wait_for(1))[0]
        assert (body["status"], body["reason"]) == ("FAILED", "EXPIRED")
        assert await momo.moved() == 0


async def test_the_numbers_that_all_providers_share_work_here_too(momo: Client) -> None:
    for ref, suffix, reason in (
        (REFS[1], "0101", "PAYEE_NOT_FOUND"),
        (REFS[2], "0102", "NOT_ENOUGH_FUNDS"),
        (REFS[3], "0401", "PAYEE_NOT_ALLOWED_TO_RECEIVE"),
    ):
        assert (await momo.transfer(ref, party=f"229015100{suffix}"))[0] == 202
        assert (await momo.settled(ref))["reason"] == reason
    assert (await momo.transfer(REFS[4], party="2290151000402"))[0] == 202
    await momo.at_rest()
    assert (await momo.status(REFS[4]))[1]["status"] == "PENDING"


@pytest.mark.parametrize(
    ("suffix", "status", "moved"),
    [
        ("0104", 403, 0),
        ("0105", 401, 0),
        ("0106", 429, 0),
        ("0107", 503, 0),
        ("0205", 500, 1),
        ("0206", 502, 1),
        ("0207", 200, 1),
        ("0303", 500, 0),
        ("0304", 502, 0),
    ],
)
async def test_bad_answers_say_nothing_of_whether_it_was_taken(
    momo: Client, suffix: str, status: int, moved: int
) -> None:
    headers = momo.headers(X_Reference_Id=REF, Content_Type="application/json")
    body = momo.a_transfer(party=f"229015100{suffix}")
    async with momo.http.post(f"{BASE}/v1_0/transfer", json=body, headers=headers) as response:
        assert response.status == status
        await response.read()
    await momo.at_rest()
    assert await momo.moved() == moved


async def test_a_reason_may_be_an_object() -> None:
    async with playing({"reason_as_object": True}) as momo:
        await momo.transfer(party="46733123457")
        reason = (await momo.settled())["reason"]
        assert reason["code"] == "PAYEE_NOT_FOUND"
        assert reason["message"]


async def test_what_was_just_taken_may_not_be_found_yet() -> None:
    async with playing({"visibility_lag_s": 0.3}) as momo:
        assert (await momo.transfer())[0] == 202
        status, body = await momo.status()
        assert (status, body["code"]) == (404, "RESOURCE_NOT_FOUND")
        assert (await momo.transfer())[0] == 409
        assert (await momo.settled())["status"] == "SUCCESSFUL"


async def test_a_read_of_what_is_no_reference_is_a_400(momo: Client) -> None:
    assert (await momo.status("not-one"))[0] == 400


async def test_more_status_reads_a_second_than_are_allowed_get_429() -> None:
    async with playing({"status_reads_per_s_max": 10}) as momo:
        await momo.transfer()
        answers = await asyncio.gather(*(momo.status() for _ in range(25)))
        assert sorted(status for status, _ in answers) == [200] * 10 + [429] * 15

        async def is_over() -> bool | None:
            return (await momo.status())[0] == 200 or None

        await eventually(is_over)


async def test_status_reads_fail_at_the_rate_that_is_set(momo: Client) -> None:
    await momo.transfer()
    await momo.set_faults(status_error_rate=1.0)
    status, body = await momo.status()
    assert (status, body["code"]) == (500, "INTERNAL_PROCESSING_ERROR")


# ---- balance and holders -----------------------------------------------------------------------------------


async def test_the_balance_drains_and_a_transfer_beyond_it_fails() -> None:
    async with playing({"balance": Decimal(1500)}) as momo:
        assert (await momo.transfer(REFS[1]))[0] == 202
        assert (await momo.call("GET", "account/balance"))[1] == {
            "availableBalance": "500.00",
            "currency": "EUR",
        }
        assert (await momo.transfer(REFS[2]))[0] == 202
        assert (await momo.settled(REFS[2]))["reason"] == "NOT_ENOUGH_FUNDS"
        assert (await momo.transfer(REFS[3], party="46733123457"))[0] == 202
        await momo.settled(REFS[3])
        assert (await momo.call("GET", "account/balance/EUR"))[1]["availableBalance"] == "500.00"
        await momo.turn(balance="2000.50")
        assert (await momo.transfer(REFS[4]))[0] == 202
        assert (await momo.settled(REFS[4]))["status"] == "SUCCESSFUL"
        assert (await momo.call("GET", "account/balance"))[1]["availableBalance"] == "1000.50"


async def test_out_of_float_shows_in_balance_and_transfers_until_it_ends(momo: Client) -> None:
    await momo.set_faults(out_of_float=True)
    assert (await momo.call("GET", "account/balance"))[1]["availableBalance"] == "0.00"
    await momo.transfer(REFS[1])
    assert (await momo.settled(REFS[1]))["reason"] == "NOT_ENOUGH_FUNDS"
    await momo.set_faults(out_of_float=False)
    await momo.transfer(REFS[2])
    assert (await momo.settled(REFS[2]))["status"] == "SUCCESSFUL"


@pytest.mark.parametrize(
    ("digits", "answer"),
    [
        ("2290151001234", (200, {"result": True})),
        ("46733123451", (200, {"result": False})),
        ("2290151000651", (200, {"result": False})),
        ("46733123450", (404, "RESOURCE_NOT_FOUND")),
        ("2290151000101", (404, "RESOURCE_NOT_FOUND")),
        ("46733123452", (500, "NOT_ALLOWED")),
        ("46733123453", (500, "NOT_ALLOWED_TARGET_ENVIRONMENT")),
        ("46733123454", (500, "INTERNAL_PROCESSING_ERROR")),
        ("46733123455", (503, "SERVICE_UNAVAILABLE")),
        ("+2290151001234", (400, "BAD_REQUEST")),
    ],
)
async def test_account_holders_have_magic_numbers_of_their_own(
    momo: Client, digits: str, answer: tuple[int, object]
) -> None:
    status, body = await momo.call("GET", f"accountholder/msisdn/{digits}/active")
    assert (status, body if status == 200 else body["code"]) == answer


# ---- callbacks ---------------------------------------------------------------------------------------------


async def test_a_callback_is_unsigned_and_names_no_reference_of_mtns(
    momo: Client, callbacks: Callbacks
) -> None:
    await momo.transfer(headers={"X_Callback_Url": callbacks.url})
    method, headers, body = (await callbacks.wait_for(1))[0]
    assert (method, body["status"], body["externalId"]) == ("POST", "SUCCESSFUL", "ours-1")
    assert REF not in json.dumps(body)
    assert {"X-Signature", "X-Reference-Id", "Authorization"}.isdisjoint(headers)
    assert headers["User-Agent"] == "LWAC Http Client 1.0"


async def test_no_callback_without_a_url(momo: Client) -> None:
    await momo.transfer()
    assert (await momo.at_rest())["webhooks"]["sent"] == 0


async def test_callbacks_are_put_and_come_in_copies(callbacks: Callbacks) -> None:
    async with playing({"callback_method": "PUT", "callback_copies": 2}) as momo:
        await momo.transfer(headers={"X_Callback_Url": callbacks.url})
        await momo.at_rest()
        assert [method for method, _, _ in callbacks.received] == ["PUT", "PUT"]


async def test_a_callback_can_overtake_the_answer(momo: Client, callbacks: Callbacks) -> None:
    callbacks.gate.clear()
    submit = asyncio.create_task(
        momo.transfer(party="2290151000504", headers={"X_Callback_Url": callbacks.url})
    )
    await callbacks.wait_for(1)
    assert not submit.done()
    callbacks.gate.set()
    assert (await submit)[0] == 202


async def test_callbacks_can_contradict_each_other_and_the_truth(momo: Client, callbacks: Callbacks) -> None:
    await momo.transfer(party="2290151000505", headers={"X_Callback_Url": callbacks.url})
    await momo.at_rest()
    assert [body["status"] for _, _, body in callbacks.received] == ["SUCCESSFUL", "FAILED"]
    assert (await momo.status())[1]["status"] == "SUCCESSFUL"
    assert await momo.moved() == 1


async def test_callbacks_get_lost_and_doubled_by_faults(momo: Client, callbacks: Callbacks) -> None:
    await momo.set_faults(lost_webhook_rate=1.0)
    await momo.transfer(REFS[1], headers={"X_Callback_Url": callbacks.url})
    await momo.at_rest()
    assert callbacks.received == []
    await momo.set_faults(lost_webhook_rate=0.0, duplicate_webhook_rate=1.0)
    await momo.transfer(REFS[2], headers={"X_Callback_Url": callbacks.url})
    await momo.at_rest()
    assert len(callbacks.received) == 3


# ---- bad luck and restarts ---------------------------------------------------------------------------------


async def test_lost_answers_hide_transfers_that_are_paid(momo: Client) -> None:
    await momo.set_faults(drop_after_rate=1.0)
    with pytest.raises(CONNECTION_LOST):
        await momo.transfer()
    await momo.set_faults(drop_after_rate=0.0)
    assert (await momo.transfer())[0] == 409
    assert (await momo.settled())["status"] == "SUCCESSFUL"
    assert await momo.moved() == 1


async def test_what_was_taken_outlives_a_restart_with_its_reason_and_callback(
    callbacks: Callbacks, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    parties = {REFS[1]: "2290151001234", REFS[2]: "46733123457", REFS[3]: "46733123454"}
    async with playing(settle_delay_s=30.0, ledger_path=ledger) as momo:
        for ref, party in parties.items():
            assert (await momo.transfer(ref, party=party, headers={"X_Callback_Url": callbacks.url}))[
                0
            ] == 202
    async with playing(settle_delay_s=0.01, ledger_path=ledger) as momo:
        await momo.at_rest()
        statuses = [await momo.settled(ref) for ref in parties]
        assert [body["status"] for body in statuses] == ["SUCCESSFUL", "FAILED", "SUCCESSFUL"]
        assert statuses[1]["reason"] == "PAYEE_NOT_FOUND"
        assert statuses[1]["payee"] == {"partyIdType": "MSISDN", "partyId": "46733123457"}
        assert len(callbacks.received) == 3
        assert (await momo.transfer(REFS[1]))[0] == 409


@pytest.mark.parametrize(
    "changes",
    [
        {"api_user": ""},
        {"currency": ""},
        {"balance": Decimal(-1)},
        {"callback_method": "GET"},
        {"callback_copies": -1},
        {"status_reads_per_s_max": 0},
    ],
)
def test_an_account_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        MomoConfig(**changes)


def test_every_magic_number_is_described_once() -> None:
    suffixes = [suffix for suffix, _, _ in describe_momo()]
    assert len(suffixes) == len(set(suffixes))
    assert {f"06{digits}" for digits in TRANSFERS} <= set(suffixes)


async def test_a_random_reference_was_never_taken(momo: Client) -> None:
    assert (await momo.status(str(uuid4())))[0] == 404
