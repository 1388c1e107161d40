"""The Grafana dashboard: made by its script, whole, and only of metrics that exist."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from itertools import combinations
from typing import Any

from tests.deploy.promtool import DEPLOY, metrics_in, require_promtool
from tests.unit.test_telemetry_page import registered

FILE = DEPLOY / "grafana" / "dashboards" / "nepxy.json"
SCRIPT = DEPLOY.parent / "scripts" / "make_dashboard.py"
MADE_BY_PROMETHEUS = {"ALERTS"}


def shown() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return document


def expressions() -> list[str]:
    return [target["expr"] for panel in shown()["panels"] for target in panel.get("targets", ())]


def test_the_file_is_what_the_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_dashboard", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    assert FILE.read_text(encoding="utf-8") == module.text(), "run: python scripts/make_dashboard.py"


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = shown()["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart
        assert one["x"] + one["w"] <= 24


def test_every_panel_has_a_title_and_asks_something() -> None:
    for panel in shown()["panels"]:
        assert panel["title"]
        assert panel["type"] == "row" or all(target["expr"] for target in panel["targets"])


def test_it_reads_only_metrics_that_exist() -> None:
    known = set(registered())
    buckets = {f"{name}_bucket" for name, (kind, _) in registered().items() if kind == "histogram"}
    queries = [
        variable["definition"] for variable in shown()["templating"]["list"] if "definition" in variable
    ]
    named = {name for query in queries for name in re.findall(r"label_values\((\w+),", query)}
    assert len(expressions()) > 40
    for expression in expressions():
        assert metrics_in(expression)
        named |= metrics_in(expression)
    assert named - MADE_BY_PROMETHEUS <= known | buckets


def test_every_label_that_it_groups_by_is_one_of_the_metric() -> None:
    known = {name: set(labels) | {"instance", "le"} for name, (_, labels) in registered().items()}
    for expression in expressions():
        for labels, name in re.findall(r"by \(([\w, ]+)\) \((?:rate\(|increase\()?(\w+)\{", expression):
            if name in MADE_BY_PROMETHEUS:
                continue
            assert set(labels.split(", ")) <= known[name.removesuffix("_bucket")], expression


def test_promtool_reads_every_expression(tmp_path: Any) -> None:
    rules = [
        {"record": f"panel:{n}", "expr": expression.replace("$__rate_interval", "5m")}
        for n, expression in enumerate(expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    ran = subprocess.run(
        [require_promtool(), "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_grafana_reads_at_its_start_is_there() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    assert "url: ${PROMETHEUS_URL}" in (folder / "datasources" / "prometheus.yml").read_text()
    assert "path: /etc/grafana/dashboards" in (folder / "dashboards" / "nepxy.yml").read_text()


def test_the_example_configuration_is_one() -> None:
    ran = subprocess.run(
        [require_promtool(), "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
