"""The conformance suite has teeth: each adapter below breaks one promise, and the test of that promise sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from nepxy.engine.capabilities import Capabilities, RepeatedReference
from nepxy.engine.outcomes import Finding, Outcome, OutcomeClass, StatusReport
from nepxy.engine.payout import Payout, ProviderRef
from nepxy.errors import WebhookRefused
from nepxy.providers.conformance import Stage
from nepxy.providers.contract import Adapter, Notice, SendGuard
from tests.contract import test_conformance_tmoney as tmoney


class Spoilt:
    """A good adapter; a subclass spoils one thing of it."""

    def __init__(self, inner: Adapter) -> None:
        self.inner: Any = inner

    @property
    def name(self) -> str:
        return str(self.inner.name)

    @property
    def capabilities(self) -> Capabilities:
        declared: Capabilities = self.inner.capabilities
        return declared

    @property
    def account(self) -> str:
        return str(self.inner.account)

    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        outcome: Outcome = await self.inner.submit(payout, guard)
        return outcome

    async def look_up(self, payout: Payout) -> StatusReport:
        report: StatusReport = await self.inner.look_up(payout)
        return report

    async def poll(self, payout: Payout) -> StatusReport:
        report: StatusReport = await self.inner.poll(payout)
        return report

    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        notice: Notice = self.inner.read_webhook(document)
        return notice

    async def close(self) -> None:
        await self.inner.close()


class CallsUnknownFailed(Spoilt):
    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        outcome = await super().submit(payout, guard)
        return (
            replace(outcome, kind=OutcomeClass.REJECTED) if outcome.kind is OutcomeClass.UNKNOWN else outcome
        )


class CallsUnknownNotSent(Spoilt):
    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        outcome = await super().submit(payout, guard)
        return (
            replace(outcome, kind=OutcomeClass.NOT_SENT) if outcome.kind is OutcomeClass.UNKNOWN else outcome
        )


class SendsTwice(Spoilt):
    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        outcome = await super().submit(payout, guard)
        if outcome.kind is OutcomeClass.UNKNOWN:
            return await super().submit(payout, guard)
        return outcome


class BoastsOfDeduplication(Spoilt):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, repeated_reference=RepeatedReference.REJECTS)


class AsksNoGuard(Spoilt):
    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        class Never:
            def is_late(self) -> bool:
                guard.is_late()
                return False

            async def reached(self, step: str, *, provider_ref: ProviderRef | None = None) -> bool:
                return True

        return await super().submit(payout, Never())


class Raises(Spoilt):
    async def poll(self, payout: Payout) -> StatusReport:
        report = await super().poll(payout)
        if report.reason == "HTTP_404" or report.reason == "ANSWER_UNREADABLE":
            raise KeyError(report.reason)
        return report


class BelievesFailedReads(Spoilt):
    async def poll(self, payout: Payout) -> StatusReport:
        report = await super().poll(payout)
        return replace(report, finding=Finding.UNPAID) if report.finding is Finding.NO_ANSWER else report


class CallsAbsentUnpaid(Spoilt):
    async def look_up(self, payout: Payout) -> StatusReport:
        report = await super().look_up(payout)
        return replace(report, finding=Finding.UNPAID) if report.finding is Finding.ABSENT else report


class KeepsAll(Spoilt):
    async def poll(self, payout: Payout) -> StatusReport:
        report = await super().poll(payout)
        return replace(report, answer=f"{report.answer} sent with {tmoney.KEY}")


class KeepsTooMuch(Spoilt):
    async def submit(self, payout: Payout, guard: SendGuard) -> Outcome:
        return replace(await super().submit(payout, guard), answer="x" * 301)


class ShowsItsKey(Spoilt):
    @property
    def account(self) -> str:
        return f"{super().account} {tmoney.KEY}"


class HasOneAccount(Spoilt):
    @property
    def account(self) -> str:
        return "tmoney"


class CallsAllPaid(Spoilt):
    async def poll(self, payout: Payout) -> StatusReport:
        return replace(await super().poll(payout), finding=Finding.PAID)


class StumblesOverWebhooks(Spoilt):
    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        str(document["status"]).encode()
        return super().read_webhook(document)


class RefusesInItsOwnWords(Spoilt):
    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        raise WebhookRefused("INVALID_JSON", self.name)


class MisnamesPayouts(Spoilt):
    def read_webhook(self, document: Mapping[str, object]) -> Notice:
        return replace(super().read_webhook(document), our_ref="order-1", provider_ref="order-1")


class SpoiltStage(tmoney.TmoneyStage):
    """The same sandbox, and an adapter that breaks its word."""

    spoilt: type[Spoilt]

    def _adapter(self, url: str, **changes: Any) -> Adapter:
        return self.spoilt(super()._adapter(url, **changes))


def conformance_of(spoilt: type[Spoilt]) -> tmoney.TestTmoney:
    """The suite over a TMONEY that is spoilt so."""

    class Suite(tmoney.TestTmoney):
        @asynccontextmanager
        async def stage(self) -> AsyncIterator[Stage]:
            async with super().stage() as good:
                assert isinstance(good, tmoney.TmoneyStage)
                stage = SpoiltStage(good.url, good._control)
                stage.spoilt = spoilt
                yield stage

    return Suite()


LOST = "test_a_lost_answer_is_never_a_refusal_of_money_that_moved"
FUZZ = "test_whatever_is_answered_nothing_raises_and_nothing_is_paid_twice"
ACCOUNT = "test_an_account_has_a_fingerprint_of_its_own_without_secrets"
KEPT = "test_what_is_kept_of_answers_is_masked_and_bounded"


@pytest.mark.parametrize(
    ("spoilt", "seen_by"),
    [
        (CallsUnknownFailed, LOST),
        (CallsUnknownNotSent, LOST),
        (CallsUnknownFailed, "test_an_answer_that_nobody_mapped_is_unknown"),
        (SendsTwice, LOST),
        (SendsTwice, FUZZ),
        (BoastsOfDeduplication, "test_a_repeated_reference_gets_what_is_declared"),
        (BoastsOfDeduplication, "test_a_resend_after_any_lost_answer_moves_the_money_once"),
        (AsksNoGuard, "test_nothing_is_written_once_the_guard_is_late"),
        (Raises, FUZZ),
        (BelievesFailedReads, "test_a_read_that_fails_says_nothing"),
        (CallsAbsentUnpaid, "test_a_reference_that_was_never_sent_is_not_found"),
        (KeepsAll, KEPT),
        (KeepsTooMuch, KEPT),
        (ShowsItsKey, ACCOUNT),
        (HasOneAccount, ACCOUNT),
        (CallsAllPaid, "test_a_payout_that_fails_is_never_called_paid"),
        (StumblesOverWebhooks, "test_any_webhook_is_read_or_refused_by_its_two_codes"),
        (RefusesInItsOwnWords, "test_any_webhook_is_read_or_refused_by_its_two_codes"),
        (MisnamesPayouts, "test_a_webhook_names_its_payout_and_a_hint_settles_nothing"),
    ],
)
def test_a_broken_promise_is_seen(spoilt: type[Spoilt], seen_by: str) -> None:
    with pytest.raises((AssertionError, KeyError, ExceptionGroup)):
        getattr(conformance_of(spoilt), seen_by)()
