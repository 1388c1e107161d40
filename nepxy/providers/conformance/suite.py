# ruff: noqa: S101 - a test suite
"""The tests themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepxy.engine.capabilities import RepeatedReference, WebhookTrust
from nepxy.engine.decide import Policy, decide
from nepxy.engine.events import Source, StatusReported
from nepxy.engine.outcomes import Finding, OutcomeClass
from nepxy.engine.payout import Payout
from nepxy.engine.requirements import unmet
from nepxy.engine.retry import RetryPolicy
from nepxy.errors import WebhookRefused
from nepxy.providers.conformance.checks import check_evidence, check_notice, other_questions
from nepxy.providers.conformance.meddler import Meddle, Meddler, an_answer
from nepxy.providers.conformance.spoilt import LIKELY_NAMES, OFTEN, answers, documents
from nepxy.providers.conformance.stage import Stage
from nepxy.providers.conformance.theatre import TAKEN, Guard, Theatre

WEBHOOK_CODES: Final = frozenset(("MISSING_STATUS", "MISSING_PROVIDER_REF_OR_EXTERNAL_REF"))
NO_MONEY: Final = frozenset((OutcomeClass.REJECTED, OutcomeClass.BLOCKED, OutcomeClass.NOT_SENT))
"""Outcomes that promise that nothing moved."""
SENSELESS: Final = (302, 405, 418, 500, 502, 503, 504, 599)
"""Statuses that, with a page of HTML, say nothing of a payout in anybody's protocol."""
HTML: Final = b"<!DOCTYPE html><html><body><h1>Whatever</h1></body></html>"


class AdapterConformance:
    """Subclass it as `Test…`, and say what the stage is."""

    def stage(self) -> AbstractAsyncContextManager[Stage]:
        """The stand-in, running, and the adapter for it."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _no_proxy_of_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    @contextmanager
    def _theatre(self) -> Iterator[Theatre]:
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            try:
                stage = runner.run(stack.enter_async_context(self.stage()))
                meddler = runner.run(stack.enter_async_context(Meddler(stage.url)))
                adapter = stage.adapter(meddler.url)
                stack.push_async_callback(adapter.close)
                yield Theatre(runner, stage, meddler, adapter)
            finally:
                runner.run(stack.aclose())

    # ---- a good day ----------------------------------------------------------------------------------------

    def test_a_payout_is_paid_once_and_found(self) -> None:
        """Submit, then every way of asking; the terms are ours."""
        with self._theatre() as theatre:
            payout = theatre.accepted(theatre.stage.payout(1))
            early = [ask({}) for ask in theatre.questions(payout)]
            assert theatre.moved(payout) == 1
            late = [ask({}) for ask in theatre.questions(payout)]
            assert late, "nobody could ever say what became of it"
            assert {report.finding for report in early} <= {Finding.IN_FLIGHT, Finding.PAID}
            assert {report.finding for report in late} == {Finding.PAID}
            for report in late:
                differing = report.terms.differ_from(
                    amount=payout.amount, currency=payout.currency, phone_e164=payout.phone_e164
                )
                assert differing == (), f"{differing} are not ours: {report}"
                check_evidence(report, theatre.stage, payout)

    def test_a_payout_that_fails_is_never_called_paid(self) -> None:
        """Refused at once, or unpaid when asked; and no money moved."""
        with self._theatre() as theatre:
            payout = theatre.stage.payout(1, fails=True)
            outcome = theatre.submit(payout)
            assert theatre.moved(payout) == 0
            assert outcome.kind is not OutcomeClass.CONFIRMED
            if outcome.kind is OutcomeClass.ACCEPTED:
                taken = replace(payout, provider_ref=outcome.provider_ref, taken_at=datetime.now(UTC))
                found = {ask({}).finding for ask in theatre.questions(taken)}
                assert found <= {Finding.UNPAID, Finding.NO_ANSWER}
                assert Finding.UNPAID in found

    def test_a_reference_that_was_never_sent_is_not_found(self) -> None:
        """Absent, or no answer; never a result."""
        with self._theatre() as theatre:
            if theatre.adapter.capabilities.lookup_by_reference:
                finding = theatre.look_up(theatre.stage.payout(1)).finding
                assert finding in (Finding.ABSENT, Finding.NO_ANSWER)

    # ---- what is declared ----------------------------------------------------------------------------------

    def test_a_repeated_reference_gets_what_is_declared(self) -> None:
        """Where a resend is unlocked, the same reference moves the money once, and its answer says so."""
        with self._theatre() as theatre:
            declared = theatre.adapter.capabilities
            if not declared.resend_allowed:
                assert declared.repeated_reference in (
                    RepeatedReference.UNKNOWN,
                    RepeatedReference.PAYS_AGAIN,
                )
                return
            payout = theatre.stage.payout(1)
            first, again = theatre.submit(payout), theatre.submit(payout)
            assert theatre.moved(payout) == 1
            later = theatre.submit(payout)
            assert theatre.moved(payout) == 1
            for outcome in (again, later):
                same = outcome.kind in TAKEN and outcome.provider_ref == first.provider_ref
                assert same or (outcome.kind is OutcomeClass.UNKNOWN and outcome.reference_was_used), outcome

    def test_a_resend_after_any_lost_answer_moves_the_money_once(self) -> None:
        """A crash between any two requests, then the same submit again; only where a resend is unlocked."""
        with self._theatre() as theatre:
            if not theatre.adapter.capabilities.resend_allowed:
                return
            for step in range(theatre.writes_of_a_submit(1)):
                for forward in (True, False):
                    payout, guard = theatre.stage.payout(10 + 2 * step + forward), Guard()
                    theatre.submit(payout, {step: Meddle(forward=forward)}, guard)
                    theatre.submit(replace(payout, provider_ref=guard.provider_ref))
                    assert theatre.moved(payout) == 1, f"request {step} lost, forward={forward}"

    def test_what_is_declared_as_required_is_missed_before_anything_is_written(self) -> None:
        """Each required field left out in turn: refused, and no request that could move money."""
        with self._theatre() as theatre:
            requires = theatre.adapter.capabilities.requires
            whole = json.loads(theatre.stage.payout(1).details)
            assert list(unmet(requires, whole, provider="it")) == [], (
                "the stage's payout lacks what is required"
            )
            for number, field in enumerate(requires):
                if field.where_given:
                    continue
                lacking = json.dumps(_without(whole, field.name))
                outcome = theatre.submit(replace(theatre.stage.payout(10 + number), details=lacking))
                assert outcome.kind is OutcomeClass.REJECTED, f"without {field.name}: {outcome}"
                assert [seen for seen in theatre.meddler.seen if seen.writes] == [], field.name

    # ---- bad days ------------------------------------------------------------------------------------------

    def test_a_lost_answer_is_never_a_refusal_of_money_that_moved(self) -> None:
        """Each request of a submit in turn: the provider acts, and the answer is lost or senseless."""
        with self._theatre() as theatre:
            spoilt: list[bytes | None] = [None, *(an_answer(status, HTML) for status in SENSELESS)]
            number = 100
            for step in range(theatre.writes_of_a_submit(1)):
                for answer in spoilt:
                    number += 1
                    payout = theatre.stage.payout(number)
                    outcome = theatre.submit(payout, {step: Meddle(answer=answer)})
                    moved = theatre.moved(payout)
                    assert moved <= 1
                    if outcome.kind in NO_MONEY:
                        assert moved == 0, f"request {step}, {answer!r}: {outcome}"
                    assert outcome.kind is not OutcomeClass.REJECTED, f"request {step}, {answer!r}: {outcome}"
                    assert outcome.kind is not OutcomeClass.CONFIRMED or moved == 1
                    check_evidence(outcome, theatre.stage, payout)

    def test_an_answer_that_nobody_mapped_is_unknown(self) -> None:
        """The request whose answer means that money may move, answered by a page of HTML, is in doubt."""
        with self._theatre() as theatre:
            # The second, because the first may have fetched a token besides.
            for number in (1, 2):
                theatre.accepted(theatre.stage.payout(number))
            last = max(number for number, seen in enumerate(theatre.meddler.seen) if seen.writes)
            for offset, status in enumerate(SENSELESS):
                payout = theatre.stage.payout(100 + offset)
                outcome = theatre.submit(payout, {last: Meddle(answer=an_answer(status, HTML))})
                found = {OutcomeClass.UNKNOWN} | (TAKEN if theatre.moved(payout) == 1 else set())
                assert outcome.kind in found, f"{status}: {outcome}"

    def test_a_read_that_fails_says_nothing(self) -> None:
        """No answer, or the truth from another question; never a result that is not so."""
        with self._theatre() as theatre:
            payout = theatre.accepted(theatre.stage.payout(1))
            theatre.run(theatre.stage.settle())
            for ask in theatre.questions(payout):
                truth = ask({}).finding
                for step in range(len(theatre.meddler.seen)):
                    for answer in (None, *(an_answer(status, HTML) for status in SENSELESS)):
                        report = ask({step: Meddle(answer=answer)})
                        assert report.finding in (Finding.NO_ANSWER, truth), f"request {step}: {report}"
                        check_evidence(report, theatre.stage, payout)

    def test_whatever_is_answered_nothing_raises_and_nothing_is_paid_twice(self) -> None:
        """Any status, any headers, any body, and the stand-in's own answers with something wrong in them."""
        with self._theatre() as theatre:
            steps = theatre.writes_of_a_submit(1)
            known = theatre.accepted(theatre.stage.payout(2))
            for ask in theatre.questions(known):
                ask({})
            real = list(theatre.meddler.bodies)
            payouts: list[Payout] = []

            @OFTEN
            @given(step=st.integers(0, steps - 1), forward=st.booleans(), answer=answers(real))
            def meddle(step: int, forward: bool, answer: bytes) -> None:
                payout = theatre.stage.payout(1_000 + len(payouts))
                payouts.append(payout)
                plan = {step: Meddle(forward=forward, answer=answer)}
                check_evidence(theatre.submit(payout, plan), theatre.stage, payout)
                for ask in theatre.questions(known):
                    check_evidence(ask({0: Meddle(answer=answer)}), theatre.stage, payout)
                theatre.run(other_questions(theatre, answer, known))

            meddle()
            theatre.run(theatre.stage.settle())
            for payout in payouts:
                assert theatre.run(theatre.stage.moved(payout)) <= 1, payout.submission_ref

    # ---- the guard -----------------------------------------------------------------------------------------

    def test_nothing_is_written_once_the_guard_is_late(self) -> None:
        """Late from the first question, from the second, and so on."""
        with self._theatre() as theatre:
            counting = Guard()
            theatre.submit(theatre.stage.payout(1), guard=counting)
            assert counting.asked > 0, "the guard was never asked"
            for count in range(counting.asked):
                payout, guard = theatre.stage.payout(10 + count), Guard(theatre.meddler, late_from=count)
                outcome = theatre.submit(payout, guard=guard)
                written = [seen for seen in theatre.meddler.seen if seen.after_stop and seen.writes]
                assert written == [], f"late from question {count}"
                assert theatre.moved(payout) == 0
                assert outcome.kind in (OutcomeClass.NOT_SENT, OutcomeClass.UNKNOWN)
                assert count > 0 or outcome.kind is OutcomeClass.NOT_SENT

    def test_nothing_is_written_where_a_step_is_not_committed(self) -> None:
        """A step that the database did not take, one after the other."""
        with self._theatre() as theatre:
            counting = Guard()
            theatre.submit(theatre.stage.payout(1), guard=counting)
            for count in range(len(counting.steps)):
                payout, guard = theatre.stage.payout(10 + count), Guard(theatre.meddler, refuse_from=count)
                outcome = theatre.submit(payout, guard=guard)
                written = [seen for seen in theatre.meddler.seen if seen.after_stop and seen.writes]
                assert written == [], f"step {counting.steps[count]}"
                assert theatre.moved(payout) == 0
                assert outcome.kind in (OutcomeClass.NOT_SENT, OutcomeClass.UNKNOWN)

    # ---- what is kept --------------------------------------------------------------------------------------

    def test_what_is_kept_of_answers_is_masked_and_bounded(self) -> None:
        """Providers echo credentials and numbers; none of it is stored."""
        with self._theatre() as theatre:
            payout = theatre.accepted(theatre.stage.payout(1))
            steps = len(theatre.meddler.seen)
            leak = " ".join((*theatre.stage.secrets, payout.phone_e164, payout.phone_e164[1:], "x" * 2_000))
            bodies = (leak.encode(), json.dumps(dict.fromkeys(LIKELY_NAMES, leak)).encode())
            number = 100
            for status in (200, 202, 400, 401, 422, 500):
                for body in bodies:
                    answer = Meddle(forward=False, answer=an_answer(status, body))
                    for step in range(steps):
                        number += 1
                        other = theatre.stage.payout(number)
                        check_evidence(theatre.submit(other, {step: answer}), theatre.stage, payout)
                    for ask in theatre.questions(payout):
                        check_evidence(ask({0: answer}), theatre.stage, payout)

    def test_an_account_has_a_fingerprint_of_its_own_without_secrets(self) -> None:
        """The same for the same configuration, another for any other, and nothing to be learned from it."""
        with self._theatre() as theatre:
            accounts = {"as it is": theatre.adapter.account}
            again = theatre.stage.adapter(theatre.meddler.url)
            assert again.account == theatre.adapter.account
            theatre.run(again.close())
            for what, other in theatre.stage.variants(theatre.meddler.url).items():
                accounts[what] = other.account
                theatre.run(other.close())
            assert len(accounts) > 1, "say in `variants` what an account is made of"
            assert len(set(accounts.values())) == len(accounts), accounts
            for account in accounts.values():
                assert not [secret for secret in theatre.stage.secrets if secret in account]
                assert account.isprintable()
                assert 0 < len(account) <= 500

    # ---- webhooks ------------------------------------------------------------------------------------------

    def test_a_webhook_names_its_payout_and_a_hint_settles_nothing(self) -> None:
        """What the stand-in posts is read; only a signed one may settle."""
        with self._theatre() as theatre:
            payout = theatre.accepted(theatre.stage.payout(1))
            document, trust = theatre.stage.webhook(payout), theatre.adapter.capabilities.webhooks
            if document is None:
                return
            if trust is WebhookTrust.NONE:
                with pytest.raises(WebhookRefused):
                    theatre.adapter.read_webhook(document)
                return
            notice = theatre.adapter.read_webhook(document)
            ours = {payout.submission_ref, payout.transaction_id}
            named = notice.our_ref in ours or (
                payout.provider_ref is not None and notice.provider_ref == payout.provider_ref
            )
            assert named, f"it names {notice.provider_ref} and {notice.our_ref}, and neither is the payout"
            check_evidence(notice.report, theatre.stage, payout)
            policy = Policy(
                capabilities=theatre.adapter.capabilities,
                retry=RetryPolicy(),
                account=payout.account,
                installation_id="conformance",
            )
            event = StatusReported(
                source=Source.WEBHOOK,
                reference=payout.submission_ref,
                attempt=None,
                report=notice.report,
                trusted=False,
            )
            decision = decide(payout, event, now=datetime.now(UTC), policy=policy, jitter=0.5)
            assert not decision.payout.status.is_final

    def test_any_webhook_is_read_or_refused_by_its_two_codes(self) -> None:
        """Any JSON object, and the stand-in's own with something wrong in it."""
        with self._theatre() as theatre:
            payout = theatre.stage.payout(1)
            real = [dict(document)] if (document := theatre.stage.webhook(payout)) is not None else []

            @OFTEN
            @given(document=documents(real))
            def read(document: dict[str, Any]) -> None:
                try:
                    notice = theatre.adapter.read_webhook(document)
                except WebhookRefused as refused:
                    code = refused.code
                else:
                    check_notice(notice, theatre.stage, payout)
                    return
                assert code in WEBHOOK_CODES

            read()


def _without(document: dict[str, Any], name: str) -> dict[str, Any]:
    first, _, rest = name.partition(".")
    if not rest:
        return {key: value for key, value in document.items() if key != first}
    return {**document, first: _without(document.get(first, {}), rest)}
