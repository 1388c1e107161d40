"""Which provider a request's payout is given to, by the rule file, by pauses, and by names that are aliases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nepxy.actors.messages import ProviderView
from tests.http.conftest import Paper, StartPaper
from tests.http.support import RUNNING, a_request, code_of, fields_of, keyed

MOOV = "+22896123456"
FLOOZ = {
    "FLOOZ_SANDBOX_API_KEY": "key",
    "FLOOZ_SANDBOX_CASHOUT_URL": "http://127.0.0.1:9/flooz",
    "FLOOZ_SANDBOX_STATUS_URL_TEMPLATE": "http://127.0.0.1:9/flooz/{provider_ref}",
    "FLOOZ_WEBHOOK_SECRET": "hook",
}
PAYERS = {"THUNES_PAYER_ID_TG": "1"}


def a_view(name: str, *, paused: bool) -> ProviderView:
    return ProviderView(
        name=name,
        ready=True,
        enabled=True,
        paused=paused,
        paused_reason="float" if paused else "",
        breaker="closed",
        in_flight=0,
        waiting=0,
        concurrency_max=1,
        requests_per_s=0,
    )


async def posted(paper: Paper, **changes: Any) -> dict[str, Any]:
    response = await paper.client.post("/v1/payouts", json=a_request(**changes), headers=keyed())
    assert response.status == 202, await response.text()
    answer: dict[str, Any] = await response.json()
    return answer


@pytest.fixture
async def ruled(start_paper: StartPaper, tmp_path: Path) -> Paper:
    """FLOOZ before THUNES for Moov in Togo, as long as it is not paused; small amounts only."""
    file = tmp_path / "routing.toml"
    file.write_text(
        '[[rule]]\nname = "moov"\ncountry = "TG"\ncarrier = "Moov"\nprefer = ["FLOOZ", "THUNES"]\n'
        'when_paused = "next"\n[[cap]]\nprovider = "FLOOZ"\ncurrency = "XOF"\namount_max = 5000\n'
    )
    plain = await start_paper({**FLOOZ, **PAYERS})
    flooz = plain.front.adapters["FLOOZ"]
    adapters = {"FLOOZ": flooz, "THUNES": flooz, "MOMO": flooz}
    return await start_paper({**FLOOZ, **PAYERS, "NEPXY_ROUTING_FILE": str(file)}, adapters=adapters)


async def test_a_rule_chooses_and_its_name_is_on_the_payout(ruled: Paper) -> None:
    answer = await posted(ruled, phone_e164=MOOV)
    assert (answer["provider"], answer["route_reason"]) == ("FLOOZ", "rule moov prefers FLOOZ")
    (accept,) = ruled.engine.seen
    assert '"route_reason":"rule moov prefers FLOOZ"' in accept.create.payout.details


async def test_a_paused_provider_is_passed_over_by_a_rule_that_says_so(ruled: Paper) -> None:
    ruled.engine.view = replace(RUNNING, providers=(a_view("FLOOZ", paused=True),))
    answer = await posted(ruled, phone_e164=MOOV)
    assert (answer["provider"], answer["route_reason"]) == ("THUNES", "rule moov: FLOOZ is paused, so THUNES")


async def test_an_engine_that_does_not_say_who_is_paused_stops_no_payout(ruled: Paper) -> None:
    ruled.engine.view = RuntimeError("busy")
    assert (await posted(ruled, phone_e164=MOOV))["provider"] == "FLOOZ"


async def test_a_cap_sends_larger_payouts_elsewhere_and_refuses_the_clients_own_choice(ruled: Paper) -> None:
    answer = await posted(ruled, phone_e164=MOOV, amount=5001)
    assert answer["provider"] == "THUNES"
    request = a_request(phone_e164=MOOV, amount=5001, provider="FLOOZ")
    response = await ruled.client.post("/v1/payouts", json=request, headers=keyed())
    assert (response.status, await code_of(response)) == (422, "VALIDATION_FAILED")
    assert set(await fields_of(response)) == {"amount"}


@pytest.mark.parametrize("name", ["MTN_MOMO", "mtn_momo", "MOMO", " momo "])
async def test_mtn_momo_is_momo_in_requests(ruled: Paper, name: str) -> None:
    answer = await posted(ruled, provider=name, phone_e164="+2290151123456", country="BJ")
    assert (answer["provider"], answer["route_reason"]) == ("MOMO", "the client named it")


@pytest.mark.parametrize("provider", [None, "TMONEY"])
async def test_a_currency_that_is_not_the_countrys_is_refused(paper: Paper, provider: str | None) -> None:
    request = a_request(currency="GHS", provider=provider)
    response = await paper.client.post("/v1/payouts", json=request, headers=keyed())
    assert response.status == 422
    assert set(await fields_of(response)) == {"currency"}
    assert paper.engine.seen == []
