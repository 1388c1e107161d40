"""The page that says which test shows which row of the provider page names only tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "contract-coverage.md"


def test_every_test_that_the_page_names_is_there() -> None:
    tests: dict[str, str] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        tests[path.stem] = tests.get(path.stem, "") + path.read_text()
    missing, module = [], ""
    names = re.findall(r"`(test_\w+|…)::(test_\w+)`", PAGE.read_text())
    assert len(names) > 60
    for named, test in names:
        module = module if named == "…" else named
        if f"def {test}(" not in tests.get(module, ""):
            missing.append(f"{module}::{test}")
    assert missing == []
