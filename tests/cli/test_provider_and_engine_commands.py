"""`nepxy providers` and `nepxy engine` against a real engine: what they do, what they show, what they refuse."""

from __future__ import annotations

import json
import urllib.error
from typing import Any

import pytest

from tests.cli.conftest import Instance

pytestmark = pytest.mark.timeout(180)
WHY = ("--reason", "trying the command line")


def provider(instance: Instance) -> dict[str, Any]:
    return instance.run("providers", "show", "tmoney", "--json").json()


def test_providers_are_listed_and_shown(instance: Instance) -> None:
    listed = instance.run("providers", "list")
    assert (listed.status, listed.err) == (0, "")
    for name in ("TMONEY", "FLOOZ", "MOMO", "THUNES"):
        assert name in listed.out
    names = {it["name"] for it in instance.run("providers", "list", "--json").json()["providers"]}
    assert names == {"TMONEY", "FLOOZ", "MOMO", "THUNES"}
    assert "capabilities" in instance.run("providers", "show", "TMONEY").out


@pytest.mark.parametrize(
    "arguments",
    [("show", "MPESA"), ("pause", "MPESA", *WHY), ("set-pace", "MPESA", "--requests-per-s", "1", *WHY)],
)
def test_a_wrong_name_says_which_there_are(instance: Instance, arguments: tuple[str, ...]) -> None:
    refused = instance.run("providers", *arguments)
    assert (refused.status, refused.out) == (2, "")
    assert "PROVIDER_UNKNOWN" in refused.err
    for name in ("TMONEY", "FLOOZ", "MOMO", "THUNES"):
        assert name in refused.err


def test_a_paused_provider_sends_nothing_until_it_is_resumed(instance: Instance) -> None:
    paused = instance.run("providers", "pause", "TMONEY", *WHY)
    assert (paused.status, paused.err) == (0, "")
    assert "trying the command line (by operator:ama)" in paused.out
    waiting = instance.pay()
    assert instance.run("providers", "pause", "TMONEY", *WHY).status in (0, 2)
    explained = instance.run("explain", waiting)
    assert "paused" in explained.out.lower()
    assert instance.run("providers", "resume", "TMONEY", *WHY).status == 0
    instance.until(waiting, "CONFIRMED")


def test_what_is_overridden_is_shown_and_goes_back_to_the_configuration(instance: Instance) -> None:
    before = provider(instance)
    for arguments, name, value in (
        (("set-backoff", "TMONEY", "--base", "5m", "--cap", "1h"), "backoff_base_s", 300),
        (("set-pace", "TMONEY", "--requests-per-s", "2.5", "--concurrency-max", "4"), "requests_per_s", 2.5),
    ):
        assert instance.run("providers", *arguments, *WHY).status == 0
        now = provider(instance)
        assert now[name] == value
        assert name in str(now["overridden"])
        assert instance.run("providers", arguments[0], "TMONEY", *WHY).status == 0
        assert provider(instance)[name] == before[name]
    assert provider(instance)["overridden"] == []


def test_retries_alone_can_be_paused(instance: Instance) -> None:
    assert instance.run("providers", "pause-retries", "TMONEY", *WHY).status == 0
    assert provider(instance)["retries_paused"] is True
    assert "retries: trying the command line" in instance.run("providers", "list").out
    assert instance.run("providers", "resume-retries", "TMONEY", *WHY).status == 0
    assert provider(instance)["retries_paused"] is False


def test_the_breaker_is_held_and_released(instance: Instance) -> None:
    assert instance.run("providers", "open-breaker", "TMONEY", *WHY).status == 0
    assert provider(instance)["breaker"] == "open"
    assert instance.run("providers", "close-breaker", "TMONEY", *WHY).status == 0
    assert provider(instance)["breaker"] == "closed"
    assert provider(instance)["breaker_forced"] == "closed"
    assert instance.run("providers", "release-breaker", "TMONEY", *WHY).status == 0
    assert not provider(instance)["breaker_forced"]


def test_a_balance_that_cannot_be_asked_for_is_said(instance: Instance) -> None:
    refused = instance.run("providers", "check-balance", "TMONEY", *WHY)
    assert (refused.status, refused.out) == (2, "")
    assert "BALANCE_UNKNOWN" in refused.err or "COMMAND_NOT_VALID" in refused.err


def test_a_value_out_of_its_range_is_named(instance: Instance) -> None:
    refused = instance.run("providers", "set-pace", "TMONEY", "--concurrency-max", "0", *WHY)
    assert refused.status == 2
    assert "concurrency_max" in refused.err


def test_the_engine_shows_itself(instance: Instance) -> None:
    shown = instance.run("engine", "show")
    assert (shown.status, shown.err) == (0, "")
    for name in ("state", "shards_held", "journal_ok", "recovery_done"):
        assert name in shown.out
    assert instance.run("engine", "show", "--json").json()["intake_open"] is True


def test_intake_is_paused_for_clients_and_comes_back(instance: Instance) -> None:
    refused = instance.run("engine", "pause-intake", *WHY)
    assert (refused.status, refused.out) == (2, "")
    assert "--yes" in refused.err
    assert instance.run("engine", "pause-intake", *WHY, "--yes").status == 0
    try:
        with pytest.raises(urllib.error.HTTPError) as turned_away:
            instance.pay()
        assert turned_away.value.code == 503
        with turned_away.value as answer:
            assert json.load(answer)["code"]
    finally:
        assert instance.run("engine", "resume-intake", *WHY).status == 0
    instance.until(instance.pay(), "CONFIRMED")


def test_limits_recovery_and_secrets(instance: Instance) -> None:
    configured = instance.run("engine", "show", "--json").json()["payouts_in_memory_max"]
    assert instance.run("engine", "set-limits", "--payouts-in-memory-max", "5000", *WHY).status == 0
    assert instance.run("engine", "show", "--json").json()["payouts_in_memory_max"] == 5000
    assert instance.run("engine", "set-limits", *WHY).status == 0
    assert instance.run("engine", "show", "--json").json()["payouts_in_memory_max"] == configured
    for command in ("recover", "reload-secrets"):
        ended = instance.run("engine", command, *WHY)
        assert (ended.status, ended.err) == (0, "")
        assert "Next: " in ended.out
