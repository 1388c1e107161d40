"""Operators' commands to the supervisor: intake, drain, sweeps, secrets, limits."""

from __future__ import annotations

from typing import Any

from nepxy.actors.commands import (
    CommandEngine,
    CommandProvider,
    EngineAnswer,
    EngineCommand,
    ProviderAnswer,
    ProviderCommand,
)
from nepxy.engine.payout import Status
from nepxy.errors import ConfigError, Draining, IntakePaused, ProviderUnknown
from nepxy.storage.controls import By
from tests.actors.support import Reply
from tests.actors.test_supervisor import Town

BY = By(who="operator:ama", reason="the bank is closed")


def asked(town: Town, message: Any) -> Reply:
    reply = Reply()
    town.supervisor.tell(message(reply_to=reply))
    assert town.world.run_until(lambda: bool(reply.values or reply.errors), within_s=5)
    return reply


def command(town: Town, name: EngineCommand, **fields: Any) -> EngineAnswer:
    reply = asked(town, lambda reply_to: CommandEngine(command=name, by=BY, reply_to=reply_to, **fields))
    assert reply.errors == []
    (answer,) = reply.values
    assert isinstance(answer, EngineAnswer)
    return answer


def running() -> Town:
    town = Town()
    town.run(5)
    return town


def test_a_paused_intake_refuses_new_payouts_and_finishes_those_it_has() -> None:
    town = running()
    old = town.a_payout(1)
    town.accept(old)
    assert not command(town, EngineCommand.PAUSE_INTAKE).engine.intake_open
    new = town.a_payout(2)
    refused = town.accept(new)
    town.run(30)
    assert [type(error) for error in refused.errors] == [IntakePaused]
    assert new.transaction_id not in town.store.rows
    assert town.status(old) is Status.SENT
    view = command(town, EngineCommand.RESUME_INTAKE).engine
    assert (view.intake_open, view.intake_reason) == (True, "")
    accepted = town.accept(new)
    town.run(1)
    assert len(accepted.values) == 1


def test_an_intake_that_another_node_paused_is_paused_here_within_two_seconds() -> None:
    town = running()
    town.store.engine = type(town.store.engine)(intake_open=False, intake_reason="audit", intake_by="ama")
    town.run(2)
    view = town.view()
    assert (view.intake_open, view.intake_reason, view.intake_by) == (False, "audit", "ama")


def test_a_node_that_drains_takes_nothing_new_and_others_are_not_told() -> None:
    town = running()
    view = command(town, EngineCommand.DRAIN).engine
    assert (view.drains_here, view.intake_open) == (True, False)
    refused = town.accept(town.a_payout(1))
    town.run(1)
    assert [type(error) for error in refused.errors] == [Draining]
    assert town.store.engine.intake_open
    assert command(town, EngineCommand.DRAIN).answer == "COMMAND_NOT_VALID"
    assert not command(town, EngineCommand.RESUME_INTAKE).engine.drains_here


def test_recover_sweeps_at_once() -> None:
    town = running()
    payout = town.a_payout(1, next_retry_at=town.world.now())
    town.run(60)  # sweeps that find nothing become rarer
    town.store.rows[payout.transaction_id] = payout
    before = town.view().recovery_done
    command(town, EngineCommand.RECOVER)
    town.run(0.5)
    assert before
    assert town.status(payout) is Status.SENT


def test_secrets_are_taken_by_whoever_holds_them_and_a_refusal_is_told() -> None:
    town = running()
    assert command(town, EngineCommand.RELOAD_SECRETS).answer == "COMMAND_NOT_VALID"
    town.hooks.reload_secrets = lambda: ("TMONEY_WEBHOOK_SECRET",)
    assert command(town, EngineCommand.RELOAD_SECRETS).changed == ("TMONEY_WEBHOOK_SECRET",)

    def wrong() -> tuple[str, ...]:
        raise ConfigError(["JWT_SECRET is too short"])

    town.hooks.reload_secrets = wrong
    reply = asked(
        town, lambda reply_to: CommandEngine(command=EngineCommand.RELOAD_SECRETS, by=BY, reply_to=reply_to)
    )
    assert [type(error) for error in reply.errors] == [ConfigError]
    commands = [row for row in town.store.commands if row[1] == "reload_secrets"]
    assert len(commands) == 1, "what was not done is not in the log as done, and its key is not used up"


def test_a_limit_on_memory_holds_and_goes_back() -> None:
    town = running()
    assert command(town, EngineCommand.SET_LIMITS, payouts_in_memory_max=0).field == "payouts_in_memory_max"
    assert command(town, EngineCommand.SET_LIMITS, payouts_in_memory_max=4).engine.payouts_in_memory_max == 4
    for number in range(20):
        town.accept(town.a_payout(number))
    town.run(0.2)
    assert town.view().payouts_in_memory <= 4
    assert command(town, EngineCommand.SET_LIMITS).engine.payouts_in_memory_max == 100_000


def test_a_command_to_a_provider_is_handed_on_and_an_unknown_one_names_those_that_exist() -> None:
    town = running()

    def pause(name: str) -> Any:
        return lambda reply_to: CommandProvider(
            provider=name, command=ProviderCommand.PAUSE, by=BY, reply_to=reply_to
        )

    (answer,) = asked(town, pause("TMONEY")).values
    assert isinstance(answer, ProviderAnswer)
    assert town.provider().paused
    (error,) = asked(town, pause("TMONY")).errors
    assert isinstance(error, ProviderUnknown)
    assert "FLOOZ" in error.message


def test_each_command_leaves_its_row() -> None:
    town = running()
    for name in (EngineCommand.PAUSE_INTAKE, EngineCommand.RESUME_INTAKE, EngineCommand.RECOVER):
        command(town, name)
    assert town.store.commands == [
        ("operator:ama", name, "supervisor", "the bank is closed")
        for name in ("pause_intake", "resume_intake", "recover")
    ]


def test_nothing_is_closed_while_the_database_is_away() -> None:
    town = running()
    town.store.is_up = False
    reply = asked(
        town, lambda reply_to: CommandEngine(command=EngineCommand.PAUSE_INTAKE, by=BY, reply_to=reply_to)
    )
    assert len(reply.errors) == 1
    assert town.view().intake_open
