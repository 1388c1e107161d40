"""Writes the Grafana dashboard: python scripts/make_dashboard.py. Change it here; a test compares the file.

Variables `instance` and `provider` narrow it. Figures that only the owner of the shards counts are summed over nodes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

OUT: Final = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards" / "nepxy.json"
COLUMNS: Final = 24
HEIGHT: Final = 7
P: Final = 'provider=~"$provider",instance=~"$instance"'
I: Final = 'instance=~"$instance"'  # noqa: E741 - the selector by instance, beside P


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture."""

    title: str
    queries: tuple[tuple[str, str], ...]
    """Expression and legend."""
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    bad_above: float | None = None
    """From where on it is red; None: it has no bad."""
    says: str = ""


def one(title: str, expression: str, legend: str = "{{provider}}", **more: Any) -> Panel:
    """A panel with one query."""
    return Panel(title=title, queries=((expression, legend),), **more)


def stat(
    title: str, expression: str, *, bad_above: float | None = 0, unit: str = "short", says: str = ""
) -> Panel:
    """A number."""
    return Panel(
        title=title,
        queries=((expression, ""),),
        kind="stat",
        width=4,
        bad_above=bad_above,
        unit=unit,
        says=says,
    )


ROWS: Final[Sequence[tuple[str, Sequence[Panel]]]] = (
    (
        "Is anything wrong?",
        (
            stat("Stuck in SENT", f"sum(nepxy_payouts_stuck{{{P}}})"),
            stat(
                "In doubt",
                f"sum(nepxy_payouts_in_doubt{{{P}}})",
                says="Nobody knows whether the provider took them.",
            ),
            stat("In review", f"sum(nepxy_payouts_in_review{{{P}}})"),
            stat("Discrepancies open", f"sum(nepxy_discrepancies_open{{{P}}})"),
            stat(
                "Providers short of balance",
                f"sum(max by (provider) (nepxy_provider_short_of_balance{{{P}}}))",
            ),
            stat("Reconciliation differences", f"sum(nepxy_reconcile_differences{{{I}}})"),
            Panel(
                title="Alerts firing",
                queries=(
                    (
                        'sum by (alertname, severity) (ALERTS{alertstate="firing"})',
                        "{{alertname}} ({{severity}})",
                    ),
                ),
                width=24,
            ),
        ),
    ),
    (
        "Payouts",
        (
            one(
                "Submits by how they ended, a second",
                f"sum by (result) (rate(payout_attempts_total{{{P}}}[$__rate_interval]))",
                "{{result}}",
                unit="ops",
            ),
            one(
                "Settled, a second",
                f"sum by (status) (rate(nepxy_payouts_settled_total{{{P}}}[$__rate_interval]))",
                "{{status}}",
                unit="ops",
            ),
            one(
                "Failed share of submits",
                f'sum by (provider) (rate(payout_attempts_total{{{P},result="FAILED"}}[5m])) / '
                f"sum by (provider) (rate(nepxy_outcomes_total{{{P}}}[5m]))",
                unit="percentunit",
                bad_above=0.5,
            ),
            one("In SENT", f"sum by (provider) (nepxy_payouts_sent{{{P}}})"),
            Panel(
                title="Stuck, or not followed",
                queries=(
                    (f"sum by (provider) (nepxy_payouts_stuck{{{P}}})", "{{provider}} stuck"),
                    (f"sum by (provider) (nepxy_payouts_sent_overdue{{{P}}})", "{{provider}} overdue"),
                ),
                bad_above=0,
            ),
            one(
                "The one in SENT for longest",
                f"max by (provider) (nepxy_payouts_sent_oldest_age_seconds{{{P}}})",
                unit="s",
            ),
            one(
                "Submits by outcome, a second",
                f"sum by (outcome) (rate(nepxy_outcomes_total{{{P}}}[$__rate_interval]))",
                "{{outcome}}",
                unit="ops",
                stacked=True,
            ),
            one(
                "Put into REVIEW, an hour",
                f"sum by (provider, reason) (increase(nepxy_reviews_total{{{P}}}[1h]))",
                "{{provider}} {{reason}}",
            ),
            one("In memory", f"nepxy_payouts_in_memory{{{I}}}", "{{instance}}"),
        ),
    ),
    (
        "Money that waits for a word",
        (
            one(
                "Amount in doubt, minor units",
                f"sum by (provider, currency) (nepxy_payouts_in_doubt_amount{{{P}}})",
                "{{provider}} {{currency}}",
            ),
            one(
                "In doubt for longest",
                f"max by (provider) (nepxy_payouts_in_doubt_oldest_age_seconds{{{P}}})",
                unit="s",
                bad_above=3600,
            ),
            one(
                "Contradictions, an hour",
                f"sum by (provider, kind) (increase(nepxy_discrepancies_total{{{P}}}[1h]))",
                "{{provider}} {{kind}}",
            ),
            one(
                "What we hold, minor units",
                f"max by (provider, currency) (nepxy_provider_balance{{{P}}})",
                "{{provider}} {{currency}}",
                says="Asked only while a provider is paused for want of it.",
            ),
            one(
                "Reconciliation: looked at, an hour",
                f"sum by (verdict) (increase(nepxy_reconcile_checked_total{{{P}}}[1h]))",
                "{{verdict}}",
            ),
            one(
                "Reconciliation: age of the last report",
                f"time() - max by (kind) (nepxy_reconcile_last_done_timestamp_seconds{{{I}}} > 0)",
                "{{kind}}",
                unit="s",
            ),
        ),
    ),
    (
        "Providers",
        (
            one(
                "Breaker open",
                f'max by (provider) (nepxy_provider_breaker_state{{{P},state="open"}})',
                bad_above=0,
            ),
            one("Paused", f"max by (provider) (nepxy_provider_paused{{{P}}})", bad_above=0),
            one(
                "Wait for a place",
                f"sum by (provider, kind) (nepxy_provider_waiting{{{P}}})",
                "{{provider}} {{kind}}",
            ),
            Panel(
                title="Places in use",
                queries=(
                    (f"sum by (provider) (nepxy_provider_calls{{{P}}})", "{{provider}}"),
                    (f"sum by (provider) (nepxy_provider_calls_max{{{P}}})", "{{provider}} most"),
                ),
            ),
            one(
                "Places granted, a second",
                f"sum by (provider, work) (rate(nepxy_provider_grants_total{{{P}}}[$__rate_interval]))",
                "{{provider}} {{work}}",
                unit="ops",
            ),
            one(
                "Waits for a place for longest",
                f"max by (provider) (nepxy_provider_waiting_oldest_age_seconds{{{P}}})",
                unit="s",
            ),
        ),
    ),
    (
        "Clients and webhooks",
        (
            one(
                "Requests by status, a second",
                f"sum by (status) (rate(http_requests_total{{{I}}}[$__rate_interval]))",
                "{{status}}",
                unit="reqps",
                stacked=True,
            ),
            Panel(
                title="How long a request takes",
                queries=tuple(
                    (
                        f"histogram_quantile({share}, sum by (le) "
                        f"(rate(nepxy_http_request_seconds_bucket{{{I}}}[$__rate_interval])))",
                        f"p{share * 100:g}",
                    )
                    for share in (0.5, 0.95, 0.99)
                ),
                unit="s",
            ),
            one(
                "Turned away for want of room, a second",
                f"rate(nepxy_payouts_turned_away_total{{{I}}}[$__rate_interval])",
                "{{instance}}",
                unit="reqps",
                bad_above=0,
                says="503 ENGINE_BUSY: the node is offered more payouts than it can take.",
            ),
            Panel(
                title="Idempotency, an hour",
                queries=(
                    (f"sum(increase(idempotency_replays_total{{{I}}}[1h]))", "replayed"),
                    (f"sum(increase(idempotency_conflicts_total{{{I}}}[1h]))", "conflicts"),
                ),
            ),
            one(
                "Webhooks, a second",
                f"sum by (provider, applied) (rate(webhook_events_total{{{P}}}[$__rate_interval]))",
                "{{provider}} applied={{applied}}",
                unit="ops",
            ),
            one(
                "Webhooks refused, a second",
                f"sum by (provider, code) (rate(nepxy_webhooks_refused_total{{{P}}}[$__rate_interval]))",
                "{{provider}} {{code}}",
                unit="ops",
                bad_above=0.01,
            ),
            one(
                "What verified a signature, a second",
                f"sum by (provider, secret) (rate(nepxy_webhook_signatures_total{{{P}}}[$__rate_interval]))",
                "{{provider}} {{secret}}",
                unit="ops",
            ),
        ),
    ),
    (
        "Engine and database",
        (
            one("Shards held", f"nepxy_shards_held{{{I}}}", "{{instance}}"),
            one(
                "Journal commits",
                f"nepxy_journal_ok{{{I}}}",
                "{{instance}}",
                says="0: nothing is sent.",
            ),
            Panel(
                title="How long a commit takes",
                queries=tuple(
                    (
                        f"histogram_quantile({share}, sum by (le) "
                        f"(rate(nepxy_journal_commit_seconds_bucket{{{I}}}[$__rate_interval])))",
                        f"p{share * 100:g}",
                    )
                    for share in (0.5, 0.99)
                ),
                unit="s",
            ),
            one("Writes that wait", f"nepxy_journal_waiting{{{I}}}", "{{instance}}"),
            one(
                "Waits for a commit for longest",
                f"nepxy_journal_waiting_oldest_age_seconds{{{I}}}",
                "{{instance}}",
                unit="s",
                bad_above=1,
                says="The oldest write that is not committed yet.",
            ),
            Panel(
                title="Writes a commit",
                queries=tuple(
                    (
                        f"histogram_quantile({share}, sum by (le) "
                        f"(rate(nepxy_journal_batch_writes_bucket{{{I}}}[$__rate_interval])))",
                        f"p{share * 100:g}",
                    )
                    for share in (0.5, 0.99)
                ),
            ),
            one(
                "How late the event loop is, p99",
                f"histogram_quantile(0.99, sum by (le, instance) (rate(nepxy_loop_lag_seconds_bucket{{{I}}}"
                "[$__rate_interval])))",
                "{{instance}}",
                unit="s",
                bad_above=0.1,
                says="The process is short of CPU, or something holds the loop.",
            ),
            one(
                "How long payouts stay in a state, p95",
                f"histogram_quantile(0.95, sum by (le, provider, state) (rate(nepxy_payout_state_seconds_bucket{{{P}}}"
                "[$__rate_interval])))",
                "{{provider}} {{state}}",
                unit="s",
            ),
            Panel(
                title="Connections of reads",
                queries=(
                    (f"nepxy_database_pool_in_use{{{I}}}", "{{instance}} in use"),
                    (f"nepxy_database_pool_size{{{I}}}", "{{instance}} size"),
                    (f"nepxy_database_pool_waiting{{{I}}}", "{{instance}} waiting"),
                ),
            ),
            one(
                "Actors that died, an hour",
                f"sum by (kind) (increase(nepxy_actor_failures_total{{{I}}}[1h]))",
                "{{kind}}",
                bad_above=0,
            ),
            one(
                "Mailbox depth",
                f"max by (kind, name) (nepxy_actor_mailbox_depth{{{I}}})",
                "{{kind}} {{name}}",
            ),
            one(
                "How long a turn keeps the loop, p99",
                f"histogram_quantile(0.99, sum by (le, kind) (rate(nepxy_actor_turn_seconds_bucket{{{I}}}"
                "[$__rate_interval])))",
                "{{kind}}",
                unit="s",
            ),
            one(
                "Dead letters, an hour",
                f"sum by (kind, reason) (increase(nepxy_dead_letters_total{{{I}}}[1h]))",
                "{{kind}} {{reason}}",
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The whole document."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append(_row(len(panels) + 1, title, y))
        y += 1
        x = 0
        tallest = 0
        for panel in row:
            height = 4 if panel.kind == "stat" else HEIGHT
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            panels.append(_panel(len(panels) + 1, panel, x=x, y=y, height=height))
            x, tallest = x + panel.width, max(tallest, height)
        y += tallest
    return {
        "uid": "nepxy",
        "title": "NepXy",
        "description": "Made by scripts/make_dashboard.py. What each metric says: docs/telemetry.md.",
        "tags": ["nepxy"],
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                _variable("instance", "Node", "label_values(nepxy_journal_ok, instance)"),
                _variable("provider", "Provider", "label_values(nepxy_payouts_sent, provider)"),
            ]
        },
        "panels": panels,
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(number: int, panel: Panel, *, x: int, y: int, height: int) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_above is not None:
        # Grafana colours from the value on; 0 is fine, and what is counted comes in whole numbers.
        steps.append({"color": "red", "value": panel.bad_above or 0.000001})
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    options: dict[str, Any] = {"colorMode": "background", "reduceOptions": {"calcs": ["lastNotNull"]}}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 20 if panel.stacked else 5,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "off" if panel.bad_above is None else "dashed"},
        }
        options = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": source, "expr": expression, "legendFormat": legend}
            for n, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


if __name__ == "__main__":
    OUT.write_text(text(), encoding="utf-8")
    print(f"wrote {OUT.name}: {sum(len(row) for _, row in ROWS)} panels")
