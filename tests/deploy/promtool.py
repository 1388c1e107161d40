"""The alert rules as tests see them: their expressions, held against scrapes of a real instance by promtool itself.

YAML takes JSON, so what promtool reads here is written as JSON; of our own rules file only names and expressions are
wanted, and they stand where this repository writes them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from prometheus_client.parser import text_string_to_metric_families

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
RULES_TEST = DEPLOY / "prometheus" / "rules_test.yml"

_ALERT = re.compile(
    r"^ +- alert: (?P<name>\w+)\n(?:^ +#.*\n)*^ +expr: (?:\|\n(?P<block>(?:^ {10,}.*\n)+)|(?P<line>.*\n))",
    re.MULTILINE,
)
_NO_METRIC = re.compile(
    r"""\{[^}]*\}|"[^"]*"|\[[^\]]*\]|\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)"""
)
_WORDS_OF_PROMQL = {
    *("and", "or", "unless", "bool", "offset", "le"),
    *("sum", "max", "min", "avg", "count", "topk", "absent", "increase", "rate", "irate", "time", "vector"),
    *("clamp_min", "clamp_max", "histogram_quantile", "label_replace", "max_over_time", "avg_over_time"),
}


def require_promtool() -> str:
    """The tool's path; a test without it is skipped where a person works, and fails on a build server."""
    found = shutil.which("promtool")
    if found is None:
        problem = "promtool is not installed (Debian and Ubuntu: apt-get install prometheus)"
        if os.environ.get("CI"):
            pytest.fail(f"{problem}; .ci/run installs it")
        pytest.skip(problem)
    return found


def alert_expressions() -> dict[str, str]:
    """Each alert's expression, as written."""
    text = RULES.read_text(encoding="utf-8")
    return {found["name"]: (found["block"] or found["line"]).strip() for found in _ALERT.finditer(text)}


def metrics_in(expression: str) -> set[str]:
    """The names of the metrics that an expression of PromQL reads."""
    bare = _NO_METRIC.sub(" ", expression)
    return set(re.findall(r"(?<![\w.$])[a-zA-Z_:][\w:]*", bare)) - _WORDS_OF_PROMQL


def fires(alert: str, *scrapes: str, every: str = "1m") -> bool:
    """Whether an alert's expression holds after these scrapes of `/metrics`, whatever its `for` is.

    Args:
        alert: its name in the rules.
        scrapes: bodies of `/metrics`, oldest first; a rate needs two.
        every: how much time is pretended to lie between two of them.
    """
    return holds(alert_expressions()[alert], *scrapes, every=every)


def holds(expression: str, *scrapes: str, every: str = "1m") -> bool:
    """Whether an expression of PromQL gives anything after these scrapes; as `fires`."""
    test = {
        "rule_files": [],
        "tests": [
            {
                "interval": every,
                "input_series": _series(scrapes),
                "promql_expr_test": [
                    {
                        "expr": f"count({expression}) > bool 0",
                        "eval_time": f"{len(scrapes) - 1}{every.lstrip('1')}",
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    }
                ],
            }
        ],
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "test.yml"
        path.write_text(json.dumps(test), encoding="utf-8")
        ran = subprocess.run(
            [require_promtool(), "test", "rules", str(path)], capture_output=True, text=True, check=False
        )
    said = ran.stdout + ran.stderr
    # An expression that gives nothing differs from the 1; any other complaint is a defect of the test.
    assert ran.returncode == 0 or "got:[nil]" in said.replace(" ", "") or "got: nil" in said, said
    return ran.returncode == 0


def _series(scrapes: Sequence[str]) -> list[dict[str, str]]:
    """Each series with its value at every scrape; `_` where a scrape lacks it."""
    values: dict[str, list[str]] = {}
    for n, scrape in enumerate(scrapes):
        for family in text_string_to_metric_families(scrape):
            for sample in family.samples:
                labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sample.labels.items())
                place = values.setdefault(f"{sample.name}{{{labels}}}", ["_"] * len(scrapes))
                place[n] = f"{sample.value:f}"
    return [{"series": name, "values": " ".join(at)} for name, at in values.items()]
