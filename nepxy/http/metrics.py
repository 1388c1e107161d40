"""What the front end measures. Names that alerts rely on are kept; new ones start with `nepxy_`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nepxy.engine.limits import Limit
from nepxy.storage.database import Reader

UNMATCHED: Final = "unmatched"
"""The route of a request that no route matches: its path is anybody's text, and no label."""

STATUSES: Final = (200, 202, 400, 401, 403, 404, 405, 409, 413, 415, 422, 500, 503)
"""Statuses that exist as series from the start, for each route."""

WEBHOOK_REFUSALS: Final = (
    "INVALID_SIGNATURE",
    "MISSING_SIGNATURE",
    "WEBHOOK_SECRET_NOT_CONFIGURED",
    "INVALID_JSON",
    "MISSING_STATUS",
    "MISSING_PROVIDER_REF_OR_EXTERNAL_REF",
)
"""Why a webhook is kept and not applied, and its sender told so."""

SIGNATURE_SECRETS: Final = ("current", "previous", "none")
"""`none`: a signature that neither made."""

PAYOUTS_ROUTE: Final = "/v1/payouts"
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HttpMetrics:
    """Counters of requests, webhooks and replays, and how long requests take."""

    def __init__(
        self, registry: CollectorRegistry, *, routes: Iterable[str], providers: Iterable[str]
    ) -> None:
        """Create all metrics with every known combination of labels, so that zero is no gap.

        Args:
            registry: where they are collected.
            routes: path templates.
            providers: canonical names.
        """
        self._bound: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self.requests = Counter(
            "http_requests_total", "HTTP requests answered.", ("route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "nepxy_http_request_seconds",
            "From a request's head to its answer.",
            ("route",),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self.webhooks = Counter(
            "webhook_events_total",
            "Webhooks received.",
            ("provider", "signature_valid", "applied"),
            registry=registry,
        )
        self.webhooks_unstored = Counter(
            "nepxy_webhooks_unstored_total",
            "Unsigned webhooks beyond what is stored a second.",
            ("provider",),
            registry=registry,
        )
        self.webhook_signatures = Counter(
            "nepxy_webhook_signatures_total",
            "Signed webhooks, by the secret that verified them.",
            ("provider", "secret"),
            registry=registry,
        )
        self.webhook_replays = Counter(
            "nepxy_webhook_replays_total",
            "Signed webhooks whose very body was applied before.",
            ("provider",),
            registry=registry,
        )
        self.webhooks_refused = Counter(
            "nepxy_webhooks_refused_total",
            "Webhooks that were refused, by the code that their sender was told.",
            ("provider", "code"),
            registry=registry,
        )
        self.conflicts = Counter(
            "idempotency_conflicts_total",
            "Requests whose Idempotency-Key names another request.",
            ("route",),
            registry=registry,
        )
        self.conflicts.labels(PAYOUTS_ROUTE)
        self.over_limit = Counter(
            "nepxy_payouts_over_limit_total",
            "Payout requests refused by a limit of their client, by the limit.",
            ("limit",),
            registry=registry,
        )
        for limit in Limit:
            self.over_limit.labels(limit)
        self.turned_away = Counter(
            "nepxy_payouts_turned_away_total",
            "Payout requests refused because as many as may be taken at once were being taken.",
            registry=registry,
        )
        self.pool_size = Gauge(
            "nepxy_database_pool_size", "Connections that reads may hold at once.", registry=registry
        )
        self.pool_in_use = Gauge(
            "nepxy_database_pool_in_use", "Connections that reads hold.", registry=registry
        )
        self.pool_waiting = Gauge(
            "nepxy_database_pool_waiting", "Reads that wait for a connection.", registry=registry
        )
        self.replays = Counter(
            "idempotency_replays_total",
            "Requests answered from an idempotency record.",
            ("route",),
            registry=registry,
        )
        self.replays.labels(PAYOUTS_ROUTE)
        # Label children of the two that count each webhook: looked up once.
        self.webhook = cache(self.webhooks.labels)
        self.webhook_signature = cache(self.webhook_signatures.labels)
        for route in (*routes, UNMATCHED):
            self.request_seconds.labels(route)
            for status in STATUSES:
                self.requests.labels(route, str(status))
        for provider in providers:
            self.webhooks_unstored.labels(provider)
            self.webhook_replays.labels(provider)
            for code in WEBHOOK_REFUSALS:
                self.webhooks_refused.labels(provider, code)
            for secret in SIGNATURE_SECRETS:
                self.webhook_signatures.labels(provider, secret)
            for valid, applied in ((True, True), (True, False), (False, False)):
                self.webhooks.labels(provider, label(valid), label(applied))

    def answered(self, route: str, status: int, duration_s: float) -> None:
        """Count a request; its label children are looked up once."""
        bound = self._bound.get((route, status))
        if bound is None:
            bound = self.requests.labels(route, str(status)), self.request_seconds.labels(route)
            self._bound[(route, status)] = bound
        requests, seconds = bound
        requests.inc()
        seconds.observe(duration_s)

    def watch_pool(self, reader: Reader) -> None:
        """Show this pool, as it is whenever it is looked at."""
        self.pool_size.set_function(lambda: reader.connections_max)
        self.pool_in_use.set_function(lambda: reader.in_use_count)
        self.pool_waiting.set_function(lambda: reader.waiting_count)


def label(value: bool) -> str:
    """A boolean as the existing dashboards write it."""
    return "true" if value else "false"
