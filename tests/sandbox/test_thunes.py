"""Thunes' stand-in: strict about what it takes, exact about what it moves, and it tells the truth when it is read."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from nepxy.sandbox.app import create_app
from nepxy.sandbox.config import SandboxConfig, ThunesConfig

BASE = "/thunes/v2/money-transfer"
AUTH = aiohttp.encode_basic_auth("sandbox-key", "sandbox-secret")


class Deleted:
    """Stands for a field that is left out; shows itself by name, so that test ids are the same in every process."""

    def __repr__(self) -> str:
        return "DELETED"


DELETED = Deleted()


class Client:
    """A strict reader of one sandbox."""

    def __init__(self, config: SandboxConfig) -> None:
        self.http = TestClient[web.Request, web.Application](TestServer(create_app(config)))

    async def call(self, method: str, path: str, body: object = None, *, auth: str = AUTH) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Authorization": auth}
        async with self.http.request(method, BASE + path, data=data, headers=headers) as response:
            return response.status, json.loads(await response.read())

    async def get(self, path: str) -> tuple[int, Any]:
        return await self.call("GET", path)

    async def quote(self, external_id: str = "q-1", **changes: Any) -> tuple[int, Any]:
        return await self.call("POST", "/quotations", a_quotation(external_id, **changes))

    async def create(self, external_id: str = "t-1", **changes: Any) -> tuple[int, Any]:
        await self.quote(f"q-of-{external_id}-{len(changes)}")
        path = f"/quotations/ext-q-of-{external_id}-{len(changes)}/transactions"
        return await self.call("POST", path, a_transaction(external_id, **changes))

    async def confirm(self, external_id: str = "t-1") -> tuple[int, Any]:
        return await self.call("POST", f"/transactions/ext-{external_id}/confirm")

    async def moved(self, external_id: str = "t-1") -> int:
        async with self.http.get(f"/_sandbox/ledger/{external_id}") as response:
            return int((await response.json())["moved_count"])

    async def settled(self, external_id: str = "t-1") -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                _, body = await self.get(f"/transactions/ext-{external_id}")
                if body["status"] not in ("20000", "50000"):
                    return dict(body)
                await asyncio.sleep(0.005)


@asynccontextmanager
async def playing(thunes: dict[str, Any] | None = None, **changes: Any) -> AsyncIterator[Client]:
    config = SandboxConfig(thunes=ThunesConfig(**(thunes or {})), **{"settle_delay_s": 0.02, **changes})
    client = Client(config)
    await client.http.start_server()
    try:
        yield client
    finally:
        await client.http.close()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with playing() as client:
        yield client


def a_quotation(external_id: str = "q-1", **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "external_id": external_id,
        "payer_id": 1001,
        "mode": "DESTINATION_AMOUNT",
        "transaction_type": "C2C",
        "source": {"amount": None, "currency": "EUR", "country_iso_code": "FRA"},
        "destination": {"amount": 1000, "currency": "XOF"},
    }
    return changed(body, changes)


def a_transaction(external_id: str = "t-1", **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "external_id": external_id,
        "credit_party_identifier": {"msisdn": "+22890001234"},
        "purpose_of_remittance": "FAMILY_SUPPORT",
        "sender": {"firstname": "Jeanne", "lastname": "Martin"},
        "beneficiary": {"firstname": "Ama", "lastname": "Mensah"},
    }
    return changed(body, changes)


def changed(body: dict[str, Any], changes: dict[str, object]) -> dict[str, Any]:
    return {name: value for name, value in {**body, **changes}.items() if value is not DELETED}


def code_of(answer: tuple[int, Any]) -> tuple[int, str]:
    status, body = answer
    return status, body["errors"][0]["code"]


async def test_money_moves_on_confirm_and_not_before(client: Client) -> None:
    status, created = await client.create()
    assert (status, created["status"], created["status_class"]) == (201, "10000", "1")
    assert await client.moved() == 0

    status, confirmed = await client.confirm()

    assert (status, confirmed["status"], confirmed["status_message"]) == (200, "20000", "CONFIRMED")
    assert (await client.settled())["status"] == "70000"
    assert await client.moved() == 1


async def test_a_quotation_fixes_the_amount_and_says_what_it_costs(client: Client) -> None:
    status, body = await client.quote()
    assert status == 201
    assert body["id"] > 2**32
    assert body["destination"] == {"amount": "1000.00000000", "currency": "XOF"}
    assert body["sent_amount"] == {"amount": "1.53000000", "currency": "EUR"}
    assert await client.get(f"/quotations/{body['id']}") == (200, body)
    assert await client.get("/quotations/ext-q-1") == (200, body)


async def test_an_external_id_is_used_once(client: Client) -> None:
    assert (await client.quote())[0] == 201
    assert code_of(await client.quote()) == (400, "1007001")
    assert (await client.create())[0] == 201
    assert code_of(await client.create(reference="other")) == (400, "1007001")


async def test_a_second_confirm_is_refused_and_moves_nothing(client: Client) -> None:
    await client.create()
    await client.confirm()
    assert code_of(await client.confirm()) == (400, "1007002")
    await client.settled()
    assert await client.moved() == 1


async def test_what_was_cancelled_cannot_be_confirmed_and_what_was_confirmed_cannot_be_cancelled(
    client: Client,
) -> None:
    await client.create("t-1")
    status, cancelled = await client.call("POST", "/transactions/ext-t-1/cancel")
    assert (status, cancelled["status"], cancelled["status_class"]) == (200, "40000", "4")
    assert code_of(await client.confirm("t-1")) == (400, "1007003")
    assert code_of(await client.call("POST", "/transactions/ext-t-1/cancel")) == (400, "1007014")
    await client.create("t-2")
    await client.confirm("t-2")
    assert code_of(await client.call("POST", "/transactions/ext-t-2/cancel")) == (400, "1007014")


async def test_an_offer_that_is_over_makes_nothing() -> None:
    async with playing({"quotation_ttl_s": 0.0}) as client:
        assert code_of(await client.create()) == (400, "1008003")


async def test_a_balance_that_is_too_small_confirms_nothing() -> None:
    async with playing({"balance": 2}) as client:
        await client.create("t-1")
        await client.create("t-2")
        assert (await client.confirm("t-1"))[0] == 200
        assert code_of(await client.confirm("t-2")) == (400, "1007005")
        _, balances = await client.get("/balances")
        assert balances[0]["available"] == "0.47000000"


async def test_what_failed_gives_its_money_back(client: Client) -> None:
    _, before = await client.get("/balances")
    await client.create(credit_party_identifier={"msisdn": "22890000401"})
    await client.confirm()
    assert (await client.settled())["status"] == "90000"
    assert (await client.get("/balances"))[1] == before
    assert await client.moved() == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"external_id": DELETED}, "1000999"),
        ({"external_id": "x" * 65}, "1000999"),
        ({"external_id": 7}, "1000999"),
        ({"payer_id": DELETED}, "1003002"),
        ({"payer_id": "1001"}, "1003002"),
        ({"payer_id": 7}, "1003002"),
        ({"mode": "destination_amount"}, "1000999"),
        ({"transaction_type": "P2P"}, "1000999"),
        ({"unknown": 1}, "1000999"),
        ({"source": {"currency": "EUR", "country_iso_code": "FR"}}, "1000999"),
        ({"source": {"currency": "USD", "country_iso_code": "FRA"}}, "1000999"),
        ({"source": {"amount": 1, "currency": "EUR", "country_iso_code": "FRA"}}, "1000999"),
        ({"source": DELETED}, "1000999"),
        ({"destination": {"amount": 1000, "currency": "GHS"}}, "1003010"),
        ({"destination": {"amount": "1000", "currency": "XOF"}}, "1000999"),
        ({"destination": {"amount": True, "currency": "XOF"}}, "1000999"),
        ({"destination": {"amount": None, "currency": "XOF"}}, "1000999"),
        ({"destination": {"amount": 0, "currency": "XOF"}}, "1000999"),
        ({"destination": {"amount": -5, "currency": "XOF"}}, "1000999"),
        ({"destination": {"amount": 1000.5, "currency": "XOF"}}, "1003008"),
        ({"destination": {"amount": 1000.0, "currency": "XOF"}}, "1003008"),
        ({"destination": {"amount": 2_000_001, "currency": "XOF"}}, "1003012"),
        ({"payer_id": 1003, "destination": {"amount": 10.005, "currency": "GHS"}}, "1003008"),
        ({"payer_id": 1003, "destination": {"amount": 0.5, "currency": "GHS"}}, "1003011"),
    ],
    ids=str,
)
async def test_a_bad_quotation_is_refused(client: Client, changes: dict[str, Any], code: str) -> None:
    assert code_of(await client.call("POST", "/quotations", a_quotation(**changes))) == (400, code)


@pytest.mark.parametrize("amount", [10.05, 10.5, 10])
async def test_a_payer_with_decimals_takes_them(client: Client, amount: float) -> None:
    destination = {"amount": amount, "currency": "GHS"}
    assert (await client.quote(payer_id=1003, destination=destination))[0] == 201


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"external_id": DELETED}, "1000999"),
        ({"external_id": ""}, "1000999"),
        ({"purpose_of_remittance": DELETED}, "1000999"),
        ({"purpose_of_remittance": "FUN"}, "1000999"),
        ({"sender": DELETED}, "1000999"),
        ({"sender": {"firstname": "Jeanne"}}, "1000999"),
        ({"sender": {"firstname": "Jeanne", "lastname": "Martin", "gender": "F"}}, "1000999"),
        ({"sender": {"firstname": "Jeanne", "lastname": "Martin", "country_iso_code": "FR"}}, "1000999"),
        ({"sender": {"firstname": "Jeanne", "lastname": "Martin", "shoe_size": "38"}}, "1000999"),
        ({"sender": {"firstname": "Jeanne", "lastname": " "}}, "1000999"),
        ({"beneficiary": DELETED}, "1000999"),
        ({"beneficiary": "Ama"}, "1000999"),
        ({"sending_business": {"registered_name": "NepXy SA"}}, "1000999"),
        ({"credit_party_identifier": DELETED}, "1000999"),
        ({"credit_party_identifier": {"msisdn": "90001234"}}, "1005001"),
        ({"credit_party_identifier": {"msisdn": "+33612345678"}}, "1005001"),
        ({"credit_party_identifier": {"msisdn": "0022890001234"}}, "1005001"),
        ({"credit_party_identifier": {"msisdn": 22890001234}}, "1000999"),
        ({"credit_party_identifier": {"iban": "x"}}, "1000999"),
        ({"callback_url": "example.com"}, "1000999"),
        ({"amount": 1000}, "1000999"),
    ],
    ids=str,
)
async def test_a_bad_transaction_is_refused_and_nothing_is_kept(
    client: Client, changes: dict[str, Any], code: str
) -> None:
    await client.quote()
    refused = await client.call("POST", "/quotations/ext-q-1/transactions", a_transaction(**changes))
    assert code_of(refused) == (400, code)
    assert code_of(await client.get("/transactions/ext-t-1")) == (404, "1008004")


async def test_a_business_sends_for_a_business_type_only(client: Client) -> None:
    await client.quote(transaction_type="B2C")
    path, business = "/quotations/ext-q-1/transactions", {"registered_name": "NepXy SA"}
    assert code_of(await client.call("POST", path, a_transaction())) == (400, "1000999")
    body = a_transaction(sender=DELETED, sending_business=business)
    assert (await client.call("POST", path, body))[0] == 201


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 5000])
async def test_a_body_that_is_no_object_is_refused(client: Client, raw: bytes) -> None:
    assert code_of(await client.call("POST", "/quotations", raw)) == (400, "1000999")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ping"),
        ("GET", "/payers"),
        ("GET", "/payers/1001"),
        ("GET", "/balances"),
        ("POST", "/quotations"),
        ("GET", "/quotations/1"),
        ("POST", "/quotations/1/transactions"),
        ("GET", "/transactions/1"),
        ("POST", "/transactions/1/confirm"),
        ("POST", "/transactions/1/cancel"),
    ],
)
@pytest.mark.parametrize(
    "auth", ["", "Bearer sandbox-key", aiohttp.encode_basic_auth("sandbox-key", "wrong"), AUTH + "x"]
)
async def test_every_call_wants_its_credentials(client: Client, method: str, path: str, auth: str) -> None:
    body = a_quotation() if method == "POST" else None
    assert code_of(await client.call(method, path, body, auth=auth)) == (401, "1000401")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/payers/7", "1000404"),
        ("GET", "/quotations/7", "1008002"),
        ("GET", "/quotations/ext-7", "1008002"),
        ("GET", "/transactions/7", "1008004"),
        ("GET", "/transactions/x", "1008004"),
        ("GET", "/transactions/ext-7", "1008004"),
        ("POST", "/quotations/7/transactions", "1008002"),
        ("POST", "/transactions/7/confirm", "1008004"),
        ("POST", "/transactions/7/cancel", "1008004"),
    ],
)
async def test_what_is_not_there_is_404(client: Client, method: str, path: str, code: str) -> None:
    body = a_transaction() if method == "POST" else None
    assert code_of(await client.call(method, path, body)) == (404, code)


async def test_payers_are_found_by_country_and_currency(client: Client) -> None:
    assert (await client.get("/ping")) == (200, {"status": "up"})
    _, found = await client.get("/payers?country_iso_code=TGO&currency=XOF")
    assert [payer["id"] for payer in found] == [1001]
    _, payer = await client.get("/payers/1003")
    assert (payer["precision"], payer["increment"], payer["currency"]) == (2, 0.01, "GHS")


@pytest.mark.parametrize(
    ("suffix", "account_status"), [("1234", "AVAILABLE"), ("0602", "BARRED"), ("0614", "UNVERIFIED")]
)
async def test_an_account_is_verified_by_its_number(client: Client, suffix: str, account_status: str) -> None:
    body = {"credit_party_identifier": {"msisdn": f"2289000{suffix}"}}
    status, answer = await client.call("POST", "/payers/1001/C2C/credit-party-verification", body)
    assert (status, answer["account_status"]) == (200, account_status)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/payers/7/C2C", {"credit_party_identifier": {"msisdn": "22890001234"}}, (404, "1000404")),
        ("/payers/1001/P2P", {"credit_party_identifier": {"msisdn": "22890001234"}}, (404, "1000404")),
        ("/payers/1002/C2C", {"credit_party_identifier": {"msisdn": "22890001234"}}, (400, "1005001")),
        ("/payers/1001/C2C", {"credit_party_identifier": {"msisdn": "22890000101"}}, (400, "1005001")),
        ("/payers/1001/C2C", {"msisdn": "22890001234"}, (400, "1000999")),
    ],
    ids=str,
)
async def test_a_verification_of_nothing_is_refused(
    client: Client, path: str, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert code_of(await client.call("POST", f"{path}/credit-party-verification", body)) == expected


async def test_a_new_transaction_is_not_visible_by_its_external_id_for_a_while() -> None:
    async with playing({"visibility_lag_s": 3600.0}) as client:
        _, created = await client.create()
        assert code_of(await client.get("/transactions/ext-t-1")) == (404, "1008004")
        assert (await client.get(f"/transactions/{created['id']}"))[0] == 200
        assert (await client.call("POST", f"/transactions/{created['id']}/confirm"))[0] == 200


async def test_numbers_are_written_as_they_are_set() -> None:
    async with playing({"amounts_as_strings": False, "status_as_integer": True}) as client:
        _, created = await client.create()
        assert (created["status"], created["status_class"]) == (10000, 1)
        assert created["destination"]["amount"] == 1000


async def test_what_was_confirmed_outlives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    async with playing(ledger_path=path) as client:
        await client.create()
        await client.confirm()
        before = await client.settled()
    async with playing(ledger_path=path) as client:
        _, after = await client.get("/transactions/ext-t-1")
        assert {name: after[name] for name in ("id", "status", "external_id")} == {
            name: before[name] for name in ("id", "status", "external_id")
        }
        assert code_of(await client.create()) == (400, "1007001")


async def test_a_plan_that_is_none_is_refused(client: Client) -> None:
    for bad in ([{"step": "nowhere"}], [{"step": "confirm", "reply": "NOTHING"}], {"step": "confirm"}):
        async with client.http.post("/_sandbox/thunes/plan", json=bad) as response:
            assert response.status == 422


async def test_secrets_do_not_print() -> None:
    assert "hidden-away" not in repr(
        ThunesConfig(api_key="hidden-away", api_secret="hidden-away", webhook_secret="hidden-away")
    )


@pytest.mark.parametrize(
    "bad",
    [{"api_key": ""}, {"api_secret": ""}, {"balance": -1}, {"visibility_lag_s": -1.0}, {"webhook_url": "x"}],
)
def test_a_config_that_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ThunesConfig(**bad)
