"""A town with all four providers, on a bad day: its accounts, its payouts, its forger, and what it all must come to."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import psycopg2
import pytest
from pydantic import TypeAdapter

from nepxy.cli.dev_accounts import account_variables, sandbox_accounts
from nepxy.sandbox.config import DuplicateBehaviour, SandboxConfig
from tests.journey.harness import Town

KEY, SECRET = "journey-key", "journey-webhook-secret"
ATTEMPTS_MAX: Final = 3

PACE: Final = {
    "NEPXY_SEND_WINDOW_S": "1",
    "MM_HTTP_TIMEOUT_S": "2",
    "NEPXY_RETRY_BASE_S": "0.3",
    "NEPXY_RETRY_CAP_S": "1",
    "NEPXY_RETRY_ATTEMPTS_MAX": str(ATTEMPTS_MAX),
    "NEPXY_POLL_BASE_S": "2",
    "NEPXY_POLL_CAP_S": "3",
    "NEPXY_SETTLE_S": "3",
    "NEPXY_SWEEP_INTERVAL_S": "0.3",
    # TMONEY's paper says that it refuses repeats; FLOOZ's says nothing, so nothing is sent twice there.
    "TMONEY_DUPLICATE_REFERENCE": "rejects",
}
"""A day's waiting in seconds; the same settings as in production, only smaller."""

FAULTS: Final = {
    "drop_before_rate": 0.05,
    "drop_after_rate": 0.05,
    "error_before_rate": 0.05,
    "error_after_rate": 0.05,
    "status_error_rate": 0.1,
    "delay_s_max": 0.1,
    "duplicate_webhook_rate": 0.2,
    "lost_webhook_rate": 0.15,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a payout comes to a provider."""

    provider: str
    form: str
    """Of its number; the last four digits are missing."""
    fields: Mapping[str, Any]


_RECIPIENT: Final = {
    "recipient": {"first_name": "Awa", "last_name": "Mensah"},
    "purpose": "FAMILY_SUPPORT",
}
_TOGO: Final = {"currency": "XOF", "country": "TG"}
_BENIN: Final = {"currency": "XOF", "country": "BJ"}
_GHANA: Final = {"currency": "GHS", "country": "GH"}

ROUTES: Final = (
    Route(provider="TMONEY", form="+2289000{}", fields=_TOGO),
    Route(provider="FLOOZ", form="+2289600{}", fields=_TOGO),
    Route(provider="MOMO", form="+229015100{}", fields=_BENIN),
    Route(provider="THUNES", form="+2289001{}", fields={**_TOGO, **_RECIPIENT, "provider": "THUNES"}),
    Route(provider="TMONEY", form="+2287000{}", fields=_TOGO),
    Route(provider="FLOOZ", form="+229019500{}", fields=_BENIN),
    Route(provider="MOMO", form="+23324000{}", fields=_GHANA),
    Route(provider="THUNES", form="+23320000{}", fields={**_GHANA, **_RECIPIENT}),
)

PAID: Final = ("0201", "0202", "0204", "0205", "0206", "0207", "0208", "0501", "0502", "0503", "0504",
               "0507", "0508", "0509")  # fmt: skip
"""Acted upon, whatever is answered."""
UNPAID: Final = ("0101", "0401")
SILENT: Final = ("0106", "0107", "0301", "0302", "0303", "0304")
"""Never acted upon, however often they are asked, and never an answer that says so."""
OWN: Final[Mapping[str, tuple[tuple[str, bool], ...]]] = {
    "MOMO": (
        *((f"06{digits}", False) for digits in ("50", "51", "52", "55", "57", "62", "63", "64")),
        ("0654", True),
        ("0505", True),
    ),
    "THUNES": (
        *((suffix, False) for suffix in ("0602", "0603", "0604", "0605", "0607", "0701", "0712")),
        *((suffix, True) for suffix in ("0505", "0610", "0611", "0612", "0613")),
    ),
}
"""Numbers of one provider's, and whether its payout is paid. With 0505 the last webhook lies: a hint fools nobody, but
where the first one gets lost, a lie that is signed is believed, so the wallets have no 0505 here."""
REFUSED_AT_THE_DOOR: Final = frozenset({"0101", "0701"})
"""By a refusal that counts only where no earlier submit of the reference is in doubt (money rule 5)."""
TAKEN_BACK: Final = frozenset({"0610", "0611"})
"""Paid, and reversed: who hears of both at once cannot tell what the payee has, and asks a person."""
CONTRADICTING: Final = frozenset({"0505", "0610", "0611"})
"""The provider says it was paid, and then that it was not, or not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One payout, and what it must come to."""

    number: int
    provider: str
    suffix: str
    paid: bool | None
    """None: it is never taken up."""
    body: Mapping[str, Any]

    @property
    def key(self) -> str:
        return f"four-{self.number}"


def jobs(count: int) -> list[Job]:
    """That many, a quarter for each provider, two of seven of them to numbers that something happens to."""
    made = []
    fates = {route.provider: itertools.cycle(_fates(route.provider)) for route in ROUTES}
    for number in range(count):
        route = ROUTES[number % len(ROUTES)]
        suffix, paid = (f"{1000 + number:04d}", True) if number % 56 >= 16 else next(fates[route.provider])
        body = {
            "amount": 1000 + number,
            "phone_e164": route.form.format(suffix),
            "external_ref": f"four-{number}",
            **route.fields,
        }
        made.append(Job(number=number, provider=route.provider, suffix=suffix, paid=paid, body=body))
    return made


def _fates(provider: str) -> list[tuple[str, bool | None]]:
    shared = [*((s, True) for s in PAID), *((s, False) for s in UNPAID), *((s, None) for s in SILENT)]
    return [*shared, *OWN.get(provider, ())]


class FourTown(Town):
    """One engine, and one sandbox that plays all four."""

    def environ(self) -> dict[str, str]:
        accounts = account_variables(
            sandbox=self.sandbox_base, engine=self.base, key=KEY, webhook_secret=SECRET
        )
        return {**super().environ(), **accounts, **PACE, **self.overrides}

    def start_sandbox(self) -> None:
        accounts = sandbox_accounts(
            key=KEY, webhook_url=f"{self.base}/v1/webhooks/tmoney", webhook_secret=SECRET
        )
        accounts["tmoney"] = replace(
            accounts["tmoney"],
            status_lookup_by_our_reference=True,
            duplicate_behaviour=DuplicateBehaviour.REJECTS,
            visible_after_s=0.2,
        )
        accounts["flooz"] = replace(accounts["flooz"], status_lookup_by_our_reference=True)
        accounts["thunes"] = replace(accounts["thunes"], visibility_lag_s=0.3, status_as_integer=True)
        accounts["momo"] = replace(
            accounts["momo"],
            token_life_s=3,
            visibility_lag_s=0.3,
            callback_method="PUT",
            reason_as_object=True,
            # MTN allows 10; a quarter of an hour is not to be waited for here, and a 429 now and then is.
            status_reads_per_s_max=40,
        )
        config = SandboxConfig(
            **accounts,
            settle_delay_s=0.5,
            slow_s=0.5,
            late_reply_s=3.0,
            hang_s=3.0,
            retry_after_s=1,
            seed=7,
            ledger_path=self.folder / "ledger.jsonl",
        )
        file = self.folder / "sandbox.json"
        file.write_bytes(TypeAdapter(SandboxConfig).dump_json(config))
        self.sandbox = self._start(
            "sandbox", "nepxy.sandbox.server", "--port", str(self.sandbox_port), "--config", str(file)
        )


@pytest.fixture
def town(database_url: str, tmp_path: Path) -> Iterator[FourTown]:
    """In the place of the one that has one provider: import it."""
    made = FourTown(database_url=database_url, folder=tmp_path)
    try:
        yield made
    finally:
        made.stop()


@dataclass
class Forger:
    """Knows every reference, and no secret: what it posts must settle nothing."""

    town: Town
    session: aiohttp.ClientSession
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By provider and status."""

    async def forge(self, reference: str, provider: str) -> None:
        body = {"external_ref": reference, "external_id": reference, "externalId": reference}
        words = ("70000", "90000") if provider == "THUNES" else ("SUCCESSFUL", "FAILED")
        forged: tuple[dict[str, str], ...] = ({}, {"X-Signature": "sha256=" + "0" * 64})
        for word, headers in zip(words, forged, strict=True):
            claim = {**body, "status": word, "status_class": word[0]}
            await self._post(provider, f"/v1/webhooks/{provider.lower()}", claim, headers)
        await self._post("", f"/v1/webhooks/momo/{reference}", {**body, "status": "FAILED"}, {})

    async def _post(
        self, provider: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> None:
        async with self.session.post(f"{self.town.base}{path}", json=body, headers=headers) as answer:
            self.answers[provider, answer.status] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A payout in the database."""

    transaction_id: str
    key: str
    provider: str
    status: str
    reason: str
    amount: int
    currency: str
    attempt_count: int
    reference: str
    """The one in use."""
    references: tuple[str, ...]
    """Every one that was ever used."""


def read_rows(database_url: str) -> list[Row]:
    """All of them, with every reference that was ever used."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("""
            SELECT p.transaction_id::text, p.idempotency_key, p.provider, p.status, coalesce(p.last_error, ''),
                   p.amount, p.currency, p.attempt_count, p.submission_ref::text,
                   array(SELECT a.submission_ref::text FROM app.payout_attempts a
                         WHERE a.transaction_id = p.transaction_id)
            FROM app.mobile_money_payouts p""")
        names = Row.__slots__
        return [
            Row(**dict(zip(names, (*found[:-1], tuple(found[-1])), strict=True)))
            for found in cursor.fetchall()
        ]


def read_discrepancies(database_url: str) -> dict[str, set[str]]:
    """Kinds of discrepancies by transaction."""
    found: dict[str, set[str]] = defaultdict(set)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT transaction_id::text, kind FROM app.discrepancies")
        for transaction_id, kind in cursor.fetchall():
            found[transaction_id].add(kind)
    return found


def wrong_with(job: Job, row: Row, accounts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the row says of its money that the sandbox's ledger does not, and what the rules do not allow."""
    books = [accounts[reference] for reference in row.references if reference in accounts]
    moved = sum(book["moved_count"] for book in books)
    problems = []
    if row.provider != job.provider:
        problems.append(f"went to {row.provider}")
    if moved > 1:
        problems.append(f"was paid {moved} times")
    if row.status == "CONFIRMED" and moved != 1:
        problems.append(f"is CONFIRMED, and its money moved {moved} times")
    if row.status == "FAILED" and (moved or job.paid is not False):
        problems.append(f"is FAILED, and its money moved {moved} times")
    if row.status == "REVIEW" and (why := _why_no_review(job, row, accounts)):
        problems.append(f"is in REVIEW, and {why}")
    if moved and not _same_terms(job, row, books):
        problems.append("was paid on other terms")
    return [
        f"{job.provider} {job.suffix} {row.transaction_id} {problem} ({row.reason})" for problem in problems
    ]


def _why_no_review(job: Job, row: Row, accounts: Mapping[str, Mapping[str, Any]]) -> str:
    """Why nobody need look at it; empty, where the money rules demand that somebody does."""
    if job.suffix in TAKEN_BACK:
        return ""
    if row.reference in accounts and accounts[row.reference]["accepted_count"]:
        return "the provider knows what became of it"
    if job.provider == "FLOOZ" or row.attempt_count >= ATTEMPTS_MAX:
        return ""
    if job.suffix in REFUSED_AT_THE_DOOR and row.attempt_count > 1:
        return ""
    return f"it could have been sent again after {row.attempt_count} attempts"


def _same_terms(job: Job, row: Row, books: list[Mapping[str, Any]]) -> bool:
    paid = next(book for book in books if book["moved_count"])
    # MTN's sandbox books everything as so many euros, which have two decimals where francs have none.
    scale = 100 if job.provider == "MOMO" and row.currency == "XOF" else 1
    currency = "EUR" if job.provider == "MOMO" else row.currency
    return (paid["amount"], paid["currencies"], paid["msisdns"]) == (
        row.amount * scale,
        [currency],
        [job.body["phone_e164"]],
    )


async def eventually(holds: Any, *, limit_s: float, what: str) -> None:
    """Waits for something that a thread finds out."""
    try:
        async with asyncio.timeout(limit_s):
            while not await asyncio.to_thread(holds):
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise AssertionError(f"not within {limit_s} s: {what}") from None
