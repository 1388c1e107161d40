"""Every page of docs/ is found by who begins at the README, and no link of ours leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Where it leads in this repository, and the heading there that it names."""
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" not in link and not link.startswith("mailto:"):
            path, _, heading = link.partition("#")
            yield (page.parent / path).resolve() if path else page, heading


def headings(page: Path) -> set[str]:
    """As they are named in links."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def test_no_link_leads_nowhere() -> None:
    dead = [
        f"{page.relative_to(ROOT)} -> {target}{'#' + heading if heading else ''}"
        for page in PAGES
        for target, heading in links(page)
        if not target.exists() or (heading and target.suffix == ".md" and heading not in headings(target))
    ]
    assert not dead


def test_every_page_is_reached_from_the_readme() -> None:
    reached, next_ones = {README}, [README]
    while next_ones:
        for target, _ in links(next_ones.pop()):
            # A link to a folder shows what is in it.
            found = target.glob("*.md") if target.is_dir() else [target] if target.suffix == ".md" else []
            fresh = [page for page in found if page.exists() and page not in reached]
            reached.update(fresh)
            next_ones += fresh
    orphans = {str(page.relative_to(ROOT)) for page in PAGES if page not in reached}
    assert not orphans


def test_an_entry_of_the_changelog_has_two_lines_at_most() -> None:
    entries = re.findall(r"^- .*(?:\n  .*)*", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert entries
    assert [entry for entry in entries if entry.count("\n") > 1] == []


def test_a_decision_has_its_number_to_itself() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [page.name[:4] for page in decisions]
    assert len(set(numbers)) == len(numbers)
    for page in decisions:
        titled = re.match(r"# 0*(\d+)[.:] ", page.read_text())
        assert titled, page.name
        assert int(titled[1]) == int(page.name[:4]), page.name
