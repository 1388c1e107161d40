"""The alert rules: promtool's own unit tests, complete, on metrics that exist, with a runbook to go to."""

from __future__ import annotations

import re
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from nepxy.actors.metrics import EngineMetrics
from nepxy.http.metrics import HttpMetrics
from tests.deploy.promtool import (
    RULES,
    RULES_TEST,
    alert_expressions,
    fires,
    holds,
    metrics_in,
    require_promtool,
)
from tests.unit.test_telemetry_page import registered

INCIDENTS = {
    "stuck_sent",
    "webhook_signatures",
    "provider_down",
    "idempotency_conflicts",
    "pool_exhausted",
}
MADE_BY_PROMETHEUS = {"up"}


def test_the_rules_pass_promtools_unit_tests() -> None:
    ran = subprocess.run(
        [require_promtool(), "test", "rules", str(RULES_TEST)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_promtool_finds_nothing_to_complain_about() -> None:
    ran = subprocess.run(
        [require_promtool(), "check", "rules", "--lint=all", "--lint-fatal", str(RULES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_is_read_here() -> None:
    names = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
    assert names == list(alert_expressions())
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("alert", list(alert_expressions()))
def test_the_unit_tests_show_each_alert_firing_and_silent(alert: str) -> None:
    text = RULES_TEST.read_text(encoding="utf-8")
    silent = re.search(rf"alertname: {alert}, eval_time: \w+, exp_alerts: \[\]", text)
    firing = re.search(rf"alertname: {alert}\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels", text)
    assert silent
    assert firing


@pytest.mark.parametrize(("alert", "expression"), alert_expressions().items())
def test_an_alert_reads_only_metrics_that_exist(alert: str, expression: str) -> None:
    used = metrics_in(expression)
    assert used
    assert used - MADE_BY_PROMETHEUS <= set(registered())


def test_every_incident_of_the_runbook_has_an_alert() -> None:
    text = RULES.read_text(encoding="utf-8")
    assert set(re.findall(r"incident: (\w+)", text)) == INCIDENTS


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    blocks = re.split(r"^ +- alert: ", RULES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    for block in blocks:
        assert re.search(r"severity: (page|ticket)", block), block
        assert re.search(r"summary: .{10,}", block), block
        assert re.search(r"runbook: docs/runbook\.md#[a-z-]+$", block, re.MULTILINE), block


def test_an_engine_that_just_started_and_owns_nothing_yet_rings_only_for_that() -> None:
    registry = CollectorRegistry()
    engine = EngineMetrics(registry, ["TMONEY", "MOMO"])
    http = HttpMetrics(registry, routes=["/v1/payouts"], providers=["TMONEY", "MOMO"])
    before = generate_latest(registry).decode()
    assert {alert for alert in alert_expressions() if fires(alert, before, before)} == {"NobodyOwnsPayouts"}

    engine.shards_held.set(256)
    engine.recovery_done.set(1)
    engine.stuck.labels("TMONEY").set(2)
    http.conflicts.labels("/v1/payouts").inc(3)
    http.webhooks_refused.labels("MOMO", "INVALID_SIGNATURE").inc(9)
    http.webhooks.labels("MOMO", "false", "false").inc(9)
    after = generate_latest(registry).decode()
    assert {alert for alert in alert_expressions() if fires(alert, before, after)} == {
        "PayoutsStuckInSent",
        "IdempotencyConflicts",
        "WebhookSignatureFailures",
    }


def test_an_expression_that_is_none_is_no_silent_alert() -> None:
    with pytest.raises(AssertionError):
        holds("sum by (", "nepxy_journal_ok 1\n", "nepxy_journal_ok 1\n")
