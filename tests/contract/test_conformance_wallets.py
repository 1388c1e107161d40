"""Every profile of FLOOZ and TMONEY passes the conformance suite, against the sandbox's stand-ins."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from nepxy.config.groups import Mode
from nepxy.config.secret import Secret
from nepxy.engine.payout import Payout
from nepxy.providers.conformance import AdapterConformance, Stage, a_payout
from nepxy.providers.contract import Adapter
from nepxy.providers.wallets import build_wallet
from tests.contract.profiles import SECRET, SETTINGS, Played, number, played

BASIC = base64.b64encode(f"us:{SECRET}".encode()).decode()


class WalletStage:
    """The sandbox, playing one profile."""

    def __init__(self, play: Played, suite: WalletConformance) -> None:
        self.url = play.url
        self.secrets: tuple[str, ...] = (SECRET, BASIC) if suite.profile == "qosic" else (SECRET,)
        self._play = play
        self._suite = suite

    def adapter(self, url: str) -> Adapter:
        return self._adapter(url)

    def variants(self, url: str) -> Mapping[str, Adapter]:
        return {
            "account": self._adapter(url, **self._suite.account),
            "mode": self._adapter(url, mode=Mode.REAL),
            "URL": self._adapter(f"{url}/elsewhere"),
        }

    def payout(self, nth: int, *, fails: bool = False) -> Payout:
        phone_e164 = number(self._suite.profile, self._suite.fails if fails else "1234")
        return a_payout(
            nth,
            provider="FLOOZ",
            amount=1000 + nth,
            currency="XOF",
            phone_e164=phone_e164,
            country="BJ" if phone_e164.startswith("+229") else "TG",
        )

    async def settle(self) -> None:
        await self._play.moved(self.payout(0))

    async def moved(self, payout: Payout) -> int:
        return await self._play.moved(payout)

    def webhook(self, payout: Payout) -> Mapping[str, object] | None:
        ours = {"ours": payout.submission_ref, "theirs": payout.provider_ref or "T-1"}
        return {name: text.format(**ours) for name, text in self._suite.posted.items()} or None

    def _adapter(self, url: str, **changes: Any) -> Adapter:
        settings = SETTINGS[self._suite.profile](url)
        update = {"http_timeout_s": 5.0, **self._suite.settings, **changes}
        return build_wallet(settings.model_copy(update=update))


class WalletConformance(AdapterConformance):
    """The suite over one profile."""

    profile: ClassVar[str]
    account: ClassVar[Mapping[str, Any]]
    """What makes it another account of ours."""
    theirs: ClassVar[Mapping[str, Any]] = {}
    """What the provider's side does otherwise than by default."""
    settings: ClassVar[Mapping[str, Any]] = {}
    fails: ClassVar[str] = "0401"
    """The last four digits of a number that is not paid: for most, taken and failed later."""
    posted: ClassVar[Mapping[str, str]] = {}
    """A webhook once paid, with `{ours}` and `{theirs}` in it."""

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        theirs = dict(self.theirs)
        async with played(self.profile, account=theirs, settle_delay_s=0.005, hang_s=1.0) as play:
            yield WalletStage(play, self)


class TestFlooz(WalletConformance):
    profile = "flooz"
    account: ClassVar = {"api_key": Secret("another")}
    theirs: ClassVar = {"status_lookup_by_our_reference": True}
    posted: ClassVar = {"external_ref": "{ours}", "provider_ref": "{theirs}", "status": "SUCCESS"}


class TestMoovSoap(WalletConformance):
    profile = "moov-soap"
    account: ClassVar = {"moov_token": Secret("another")}
    # Refused within the call: what its codes of failure mean later, nobody knows, so none of them is believed.
    fails: ClassVar = "0101"
    theirs: ClassVar = {"status_lookup_by_our_reference": True}


class TestPayGate(WalletConformance):
    profile = "paygate"
    account: ClassVar = {"paygate_auth_token": Secret("another")}
    posted: ClassVar = {"tx_reference": "{theirs}", "identifier": "{ours}", "amount": "1000"}


class TestQosic(WalletConformance):
    profile = "qosic"
    account: ClassVar = {"qosic_user": "another"}
    posted: ClassVar = {"transRef": "{ours}", "serviceRef": "1", "status": "SUCCESSFUL", "code": "200"}


class TestPayGateThatReplays(TestPayGate):
    """Declared by configuration, once the provider has said so in writing; here its stand-in does."""

    settings: ClassVar = {"duplicate_reference": "replays"}
    theirs: ClassVar = {"duplicate_behaviour": "replays"}


class TestQosicThatRejects(TestQosic):
    settings: ClassVar = {"duplicate_reference": "rejects"}
    theirs: ClassVar = {"duplicate_behaviour": "rejects"}
