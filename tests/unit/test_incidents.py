"""The runbook's five incidents are judged by figures, and each finding names commands that exist."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest

from nepxy.actors.messages import EngineState, EngineView, ProviderView
from nepxy.engine.breaker import Forced
from nepxy.engine.call_ring import CallFigures
from nepxy.engine.controls import ProviderOverrides
from nepxy.http.incidents import Facts, Pool, incidents
from nepxy.http.watch import Counts
from nepxy.storage.activity import DatabaseActivity, masked_query
from nepxy.storage.in_flight import FlightFigures

PROVIDER = ProviderView(
    name="TMONEY",
    ready=True,
    enabled=True,
    paused=False,
    paused_reason="",
    breaker="closed",
    in_flight=0,
    waiting=0,
    concurrency_max=4,
    requests_per_s=0.0,
)
ENGINE = EngineView(
    state=EngineState.RUNNING,
    shards_held=256,
    other_owner=None,
    payouts_in_memory=0,
    recovery_started=True,
    recovered_count=0,
    recovery_done=True,
    journal_ok=True,
    journal_depth=0,
    providers=(PROVIDER,),
)
ACTIVITY = DatabaseActivity(
    server_version="16.1",
    ours=5,
    all=7,
    max=97,
    oldest_transaction_s=0.0,
    locks_waiting=0,
    slow=(),
)
WELL = Facts(
    engine=ENGINE,
    flights=(FlightFigures(provider="TMONEY", sent_count=3),),
    last_5_min=Counts(),
    last_15_min=Counts(),
    pool=Pool(size=8, in_use=1, waiting=0),
    activity=ACTIVITY,
)


def states(facts: Facts) -> dict[str, str]:
    return {one.id: one.state for one in incidents(facts)}


def with_provider(**changes: Any) -> Facts:
    return replace(WELL, engine=replace(ENGINE, providers=(replace(PROVIDER, **changes),)))


def test_nothing_is_wrong_where_all_is_well() -> None:
    assert states(WELL) == dict.fromkeys(
        ("stuck_sent", "webhook_signatures", "provider_down", "idempotency_conflicts", "pool_exhausted"), "ok"
    )


WRONG: tuple[tuple[str, Facts, str], ...] = (
    (
        "stuck_sent",
        replace(WELL, flights=(FlightFigures(provider="TMONEY", sent_count=9, stuck_count=2),)),
        "TMONEY: 2",
    ),
    (
        "stuck_sent",
        replace(WELL, flights=(FlightFigures(provider="TMONEY", sent_count=9, overdue_count=1),)),
        "not being followed",
    ),
    (
        "webhook_signatures",
        replace(WELL, last_5_min=Counts(signatures={"TMONEY": 3}, webhooks={"TMONEY": 1})),
        "TMONEY: 3",
    ),
    ("provider_down", with_provider(breaker="open"), "breaker is open"),
    ("provider_down", with_provider(calls=CallFigures(answered=1, failed=9)), "9 of 10"),
    (
        "provider_down",
        replace(WELL, last_5_min=Counts(failed={"TMONEY": 8}, taken={"TMONEY": 2})),
        "8 submits failed",
    ),
    (
        "provider_down",
        with_provider(paused=True, paused_reason="HTTP_403", overrides=ProviderOverrides(paused_by="engine")),
        "HTTP_403",
    ),
    ("idempotency_conflicts", replace(WELL, last_15_min=Counts(conflicts=1)), "1 requests"),
    ("pool_exhausted", replace(WELL, pool=Pool(size=8, in_use=8, waiting=3)), "3 reads wait"),
    ("pool_exhausted", replace(WELL, activity=replace(ACTIVITY, all=90)), "90 of at most 97"),
)


@pytest.mark.parametrize(("name", "facts", "says"), WRONG)
def test_each_incident_shows_in_its_figures_and_in_no_other(name: str, facts: Facts, says: str) -> None:
    assert [one for one, state in states(facts).items() if state == "wrong"] == [name]
    finding = next(one for one in incidents(facts) if one.id == name)
    assert says in finding.says
    assert finding.commands


def test_what_an_operator_did_on_purpose_is_no_incident() -> None:
    forced = with_provider(breaker="open", overrides=ProviderOverrides(breaker_forced=Forced.OPEN))
    paused = with_provider(paused=True, overrides=ProviderOverrides(paused_by="operator:ama"))
    assert states(forced)["provider_down"] == states(paused)["provider_down"] == "ok"


def test_a_few_wrong_signatures_are_none_of_our_business() -> None:
    assert states(replace(WELL, last_5_min=Counts(signatures={"TMONEY": 2})))["webhook_signatures"] == "ok"


def test_what_nobody_can_say_is_unknown_and_never_ok() -> None:
    found = states(replace(WELL, engine=None, flights=None, activity=None))
    assert [one for one, state in found.items() if state == "unknown"] == [
        "stuck_sent",
        "provider_down",
        "pool_exhausted",
    ]


def test_each_finding_leads_to_a_section_of_the_runbook_that_exists() -> None:
    with open("docs/runbook.md", encoding="utf-8") as page:
        headings = [line.removeprefix("## ").strip() for line in page if line.startswith("## ")]
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert {one.runbook for one in incidents(WELL)} <= anchors


@pytest.mark.parametrize("name", sorted({name for name, *_ in WRONG}))
def test_each_command_that_is_named_exists(name: str) -> None:
    import typer

    from nepxy.cli.main import app

    root: Any = typer.main.get_command(app)
    for facts in (facts for one, facts, _ in WRONG if one == name):
        finding = next(one for one in incidents(facts) if one.id == name)
        for lever in finding.commands:
            words = shlex.split(lever.cli)[1:]
            command = root
            while words and hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            command.make_parser(command.context_class(command)).parse_args(words)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT * FROM p WHERE phone = '+22890123456'", "SELECT * FROM p WHERE phone = '?'"),
        ("SELECT 1, 22890123456 FROM t2", "SELECT ?, ? FROM t2"),
        ("UPDATE p SET a = 'it''s', b = E'x\\'y' WHERE c = 5", "UPDATE p SET a = '?', b = '?' WHERE c = ?"),
        ("INSERT INTO t VALUES ('cut off in the mid", "INSERT INTO t VALUES ('?'"),
        ("DO $$ secret $$", "DO '?'"),
        ("<insufficient privilege>", "(not visible to this role)"),
    ],
)
def test_a_query_is_shown_without_its_values(query: str, shown: str) -> None:
    assert masked_query(query) == shown
