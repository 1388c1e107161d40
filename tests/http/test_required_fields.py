"""What a provider's capabilities require of a request is asked for at the door, and every missing field is named."""

from __future__ import annotations

from typing import Any

import pytest

from nepxy.providers.thunes import Thunes
from nepxy.providers.wire import ProviderHttp
from tests.contract.thunes_support import thunes_settings
from tests.http.conftest import Paper, Served, StartPaper
from tests.http.support import a_request, code_of, fields_of, keyed

PAYERS = {"THUNES_PAYER_ID_TG": "1"}
MOOV = "+22896123456"
"""Of a network whose own provider is not set up here."""
PERSON = {"first_name": "Ama", "last_name": "Mensah"}
WHOLE: dict[str, Any] = {"recipient": PERSON, "purpose": "FAMILY_SUPPORT"}


def thunes(**changes: Any) -> Thunes:
    settings = thunes_settings("http://127.0.0.1:9", **changes)
    return Thunes.over(settings, ProviderHttp(timeout_s=1, connections_max=1))


@pytest.fixture
async def abroad(start_paper: StartPaper) -> Paper:
    """TMONEY, which requires nothing more, and THUNES."""
    plain = await start_paper(PAYERS)
    return await start_paper(PAYERS, adapters={**plain.front.adapters, "THUNES": thunes()})


async def refused(paper: Paper, **changes: Any) -> set[str]:
    response = await paper.client.post("/v1/payouts", json=a_request(**changes), headers=keyed())
    assert (response.status, await code_of(response)) == (422, "VALIDATION_FAILED")
    assert paper.engine.seen == []
    return set(await fields_of(response))


@pytest.mark.parametrize("named", [{"provider": "THUNES"}, {"phone_e164": MOOV}], ids=["named", "routed"])
@pytest.mark.parametrize(
    ("details", "fields"),
    [
        ({}, {"recipient.first_name", "recipient.last_name", "purpose"}),
        ({"recipient": {"name": "Ama Mensah"}}, {"recipient.first_name", "recipient.last_name", "purpose"}),
        ({"recipient": PERSON}, {"purpose"}),
        ({**WHOLE, "recipient": {"first_name": "Ama"}}, {"recipient.last_name"}),
        ({**WHOLE, "purpose": "???"}, {"purpose"}),
        ({**WHOLE, "purpose": "x" * 65}, {"purpose"}),
        ({**WHOLE, "sender": {"first_name": "Kofi"}}, {"sender.last_name"}),
        ({**WHOLE, "sender": {"city": "Lome"}}, {"sender.first_name", "sender.last_name"}),
    ],
)
async def test_what_thunes_requires_is_refused_by_name_whoever_chose_it(
    abroad: Paper, named: dict[str, str], details: dict[str, Any], fields: set[str]
) -> None:
    assert await refused(abroad, **named, **details) == fields


@pytest.mark.parametrize("sender", [None, PERSON])
async def test_a_request_that_says_it_all_is_taken(abroad: Paper, sender: dict[str, str] | None) -> None:
    request = a_request(phone_e164=MOOV, **WHOLE, sender=sender)
    response = await abroad.client.post("/v1/payouts", json=request, headers=keyed())
    assert (response.status, (await response.json())["provider"]) == (202, "THUNES")


async def test_what_one_provider_requires_is_not_asked_of_anothers_payouts(abroad: Paper) -> None:
    response = await abroad.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert (response.status, (await response.json())["provider"]) == (202, "TMONEY")


async def test_missing_fields_are_named_together_with_wrong_ones(abroad: Paper) -> None:
    named = await refused(abroad, provider="thunes", amount=-5, recipient="Ama", purpose="")
    assert named == {"amount", "recipient", "purpose"}
    named = await refused(abroad, provider="THUNES", amount=-5)
    assert named == {"amount", "recipient.first_name", "recipient.last_name", "purpose"}


async def test_a_business_that_is_paid_needs_its_registered_name(start_paper: StartPaper) -> None:
    business = thunes(tx_type="B2B", sender_business_name="NepXy SA")
    paper = await start_paper(PAYERS, adapters={"THUNES": business})
    assert await refused(paper, phone_e164=MOOV, **WHOLE) == {"recipient.name"}
    request = a_request(phone_e164=MOOV, recipient={"name": "Boulangerie Ama"}, purpose="GOODS")
    assert (await paper.client.post("/v1/payouts", json=request, headers=keyed())).status == 202


async def test_a_payout_that_was_taken_is_replayed_whatever_is_required_now(served: Served) -> None:
    headers, request = keyed("once"), a_request()
    first = await served.client.post("/v1/payouts", json=request, headers=headers)
    assert first.status == 202
    adapters: Any = served.front.adapters
    adapters["TMONEY"] = thunes()
    again = await served.client.post("/v1/payouts", json=request, headers=headers)
    assert (again.status, await again.text()) == (202, await first.text())
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await served.client.post("/v1/payouts", json=a_request(), headers=keyed())
    assert "purpose" in await fields_of(other)
