"""The runbook as a book: each alert leads to a section, each incident has its parts, each placeholder is known."""

from __future__ import annotations

import re

import pytest

from tests.deploy.promtool import RULES
from tests.runbook.book import PAGE, PLACEHOLDERS, commands_in, section, text_of

INCIDENTS = (
    "payouts-stuck-in-sent",
    "webhook-signature-failures",
    "provider-downtime",
    "duplicates-and-idempotency",
    "connection-pool-exhaustion",
)


@pytest.mark.parametrize("anchor", INCIDENTS)
def test_an_incident_says_how_it_shows_what_to_do_and_when_it_is_over(anchor: str) -> None:
    incident = section(anchor)
    assert incident.alerts
    assert incident.shows == ("nepxy doctor",)
    assert [step.number for step in incident.steps] == list(range(1, len(incident.steps) + 1))
    assert incident.over[-1] == "nepxy doctor"


def test_each_alert_leads_to_a_section_that_names_it() -> None:
    found = re.findall(r"- alert: (\w+)\n(?:.*\n)*?.*runbook: docs/runbook\.md#(\S+)", RULES.read_text())
    assert len(found) > 10
    for alert, anchor in found:
        assert f"`{alert}`" in text_of(anchor), f"{alert} leads to #{anchor}, which does not name it"


def test_a_word_in_capitals_is_a_placeholder_that_the_page_explains_or_a_word_of_the_commands() -> None:
    known = {*PLACEHOLDERS, "PENDING", "SENT", "REVIEW", "SELECT", "ACCOUNT_CHANGED", "CRASHED_TOO_OFTEN"}
    variables = {"NEPXY_URL", "NEPXY_OPERATOR_ID", "NEPXY_OPERATOR_SECRET", "ADMIN_DATABASE_URL"}
    used = {word for line in commands_in(PAGE.read_text()) for word in re.findall(r"\b[A-Z][A-Z_]+\b", line)}
    assert used - known - variables == set()


def test_the_book_leads_to_sections_that_exist() -> None:
    for anchor in re.findall(r"\]\(#([a-z-]+)\)", PAGE.read_text()):
        text_of(anchor)
