"""docs/telemetry.md lists every metric that the code registers, with its kind and labels, and no other."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from nepxy.actors.metrics import ACTOR_KINDS, EngineMetrics
from nepxy.actors.turn_metrics import TurnMetrics
from nepxy.engine.limits import Limit
from nepxy.engine.outcomes import OutcomeClass
from nepxy.engine.runtime import DeadLetterReason
from nepxy.http.metrics import HttpMetrics
from nepxy.storage.database import Fault

PAGE = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)

Described = dict[str, tuple[str, tuple[str, ...]]]


def on_the_page() -> Described:
    """Each metric's kind and labels, as written."""
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(PAGE)}


def registered() -> Described:
    """Each metric's kind and labels, as the two rooms that measure make them."""
    registry = CollectorRegistry()
    rooms = (
        EngineMetrics(registry, ["TMONEY"]),
        HttpMetrics(registry, routes=["/v1/payouts"], providers=["TMONEY"]),
    )
    found: Described = {}
    for room in rooms:
        for metric in vars(room).values():
            if not isinstance(metric, MetricWrapperBase):
                continue
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            # Private, and the only place that knows the labels of a metric without a series yet.
            found[name] = (family.type, tuple(metric._labelnames))
    for family in TurnMetrics(CollectorRegistry()).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, tuple(family._labelnames))  # type: ignore[attr-defined]  # of all its kinds
    # A metric that is kept in no attribute would be missed above.
    assert {name.removesuffix("_total") for name in found} == {family.name for family in registry.collect()}
    return found


def test_the_page_lists_every_registered_metric_and_no_other() -> None:
    assert on_the_page() == registered()


def test_no_metric_is_listed_twice() -> None:
    names = [name for name, _, _ in ROW.findall(PAGE)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("closed_set", [ACTOR_KINDS, OutcomeClass, DeadLetterReason, Fault, Limit])
def test_every_value_of_a_closed_set_is_on_the_page(closed_set: tuple[str, ...]) -> None:
    assert [str(value) for value in closed_set if f"`{value!s}`" not in PAGE] == []


def test_series_that_the_page_does_not_mark_exist_from_the_start() -> None:
    registry = CollectorRegistry()
    EngineMetrics(registry, ["TMONEY"])
    HttpMetrics(registry, routes=["/v1/payouts"], providers=["TMONEY"])
    shown = generate_latest(registry).decode()
    marked = {
        name for name, rest in re.findall(r"^\| `(\w+)` (.*)$", PAGE, re.MULTILINE) if "first use" in rest
    }
    absent = {name for name in on_the_page() if not re.search(rf"^{name}(_count)?[ {{]", shown, re.MULTILINE)}
    assert absent == marked
