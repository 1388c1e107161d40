"""What a command to a provider or to the supervisor did, and what follows, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, assert_never

from nepxy.actors.commands import EngineCommand, ProviderCommand
from nepxy.actors.messages import EngineView, ProviderView

EVERYWHERE: Final = "It holds on every node within 2 s, and across restarts"


class Money(Protocol):
    """A balance; `nepxy.providers.contract.Balance` is one."""

    @property
    def amount(self) -> int:
        """In minor units."""

    @property
    def currency(self) -> str:
        """ISO 4217."""


def provider_what(command: ProviderCommand, view: ProviderView, balance: Money | None) -> str:
    """What was done."""
    name = view.name
    match command:
        case ProviderCommand.PAUSE:
            return f"{name} is paused: nothing new is sent to it."
        case ProviderCommand.RESUME:
            return f"{name} is resumed."
        case ProviderCommand.PAUSE_RETRIES:
            return f"Retries to {name} are paused: first attempts go on, nothing is sent a second time."
        case ProviderCommand.RESUME_RETRIES:
            return f"Retries to {name} are resumed."
        case ProviderCommand.SET_BACKOFF:
            return (
                f"{name}'s backoff begins at {view.backoff_base_s or 0:g} s and ends at "
                f"{view.backoff_cap_s or 0:g} s."
            )
        case ProviderCommand.SET_PACE:
            pace = f"{view.requests_per_s:g} calls a second" if view.requests_per_s else "no limit a second"
            return f"{name} gets at most {view.concurrency_max} calls at once, and {pace}."
        case ProviderCommand.OPEN_BREAKER:
            return f"{name}'s breaker is held open: no call is made to it, not even a question."
        case ProviderCommand.CLOSE_BREAKER:
            return f"{name}'s breaker is held closed: calls are made, whatever becomes of them."
        case ProviderCommand.RELEASE_BREAKER:
            return f"{name}'s breaker is automatic again, and closed."
        case ProviderCommand.CHECK_BALANCE if balance is not None:
            return f"{name} says that we hold {balance.amount} {balance.currency} (minor units) there."
        case ProviderCommand.CHECK_BALANCE:
            return f"{name} was asked for our balance before, under this command_id."
        case _:
            assert_never(command)


def provider_what_next(command: ProviderCommand, view: ProviderView) -> str:
    """What happens now, and when."""
    match command:
        case ProviderCommand.PAUSE:
            return (
                f"{EVERYWHERE}, until resume. What is in flight goes on: questions, webhooks, settlement. "
                f"{view.waiting_submits} payouts wait to be sent."
            )
        case ProviderCommand.RESUME | ProviderCommand.RESUME_RETRIES:
            return f"{view.waiting_submits} payouts wait to be sent, and go now as pace and breaker let them."
        case ProviderCommand.PAUSE_RETRIES:
            return f"{EVERYWHERE}, until resume_retries. Money in flight is followed as before."
        case ProviderCommand.SET_BACKOFF:
            return (
                f"{EVERYWHERE}. It counts from each payout's next failure; times that are set already stay."
            )
        case ProviderCommand.SET_PACE:
            return f"{EVERYWHERE}. Calls that are under way end as they would."
        case ProviderCommand.OPEN_BREAKER:
            return (
                f"{EVERYWHERE}, until close_breaker or release_breaker. Webhooks settle payouts meanwhile; "
                "nothing fails for it before it expires."
            )
        case ProviderCommand.CLOSE_BREAKER:
            return f"{EVERYWHERE}, until open_breaker or release_breaker."
        case ProviderCommand.RELEASE_BREAKER:
            return "It opens by itself when ten calls in a row fail."
        case ProviderCommand.CHECK_BALANCE:
            if view.resumes_by_itself and view.shortfall is not None:
                return (
                    f"{view.name} is paused until we hold {view.shortfall.amount} {view.shortfall.currency} "
                    "there, and then resumes by itself within about a minute."
                )
            return "Nothing follows from it."
        case _:
            assert_never(command)


def engine_what(command: EngineCommand, view: EngineView, changed: Sequence[str]) -> str:
    """What was done."""
    match command:
        case EngineCommand.PAUSE_INTAKE:
            return "No node takes new payouts: clients are answered 503 INTAKE_PAUSED with Retry-After."
        case EngineCommand.RESUME_INTAKE:
            return "New payouts are taken again."
        case EngineCommand.DRAIN:
            return f"This node ({view.node_id}) takes no new payouts, and says so in /readyz."
        case EngineCommand.RECOVER:
            return "This node looks for everything that is due, as after a start."
        case EngineCommand.RELOAD_SECRETS:
            names = ", ".join(changed)
            return (
                f"The secrets in the files are in force: {names} changed."
                if changed
                else "No secret changed."
            )
        case EngineCommand.SET_LIMITS:
            return f"At most {view.payouts_in_memory_max} payouts are in a node's memory at once."
        case EngineCommand.RELEASE_RESTORED:
            return "The engine is released: it submits again after the restore of its database."
        case _:
            assert_never(command)


def engine_what_next(command: EngineCommand, view: EngineView) -> str:
    """What happens now, and when."""
    match command:
        case EngineCommand.PAUSE_INTAKE:
            return f"{EVERYWHERE}, until resume_intake. What was taken goes on ({view.payouts_in_memory} in memory)."
        case EngineCommand.RESUME_INTAKE:
            return f"{EVERYWHERE}. A standby or a node that stops still refuses them."
        case EngineCommand.DRAIN:
            return (
                "What it has goes on, until the process is stopped: the next node then takes over at once. "
                "resume_intake undoes it; so does a restart."
            )
        case EngineCommand.RECOVER:
            return "The sweep takes a few seconds; `recovered_count` and `recovery_done` tell how far it is."
        case EngineCommand.RELOAD_SECRETS:
            return "Other nodes are not told: give each the command, or SIGHUP."
        case EngineCommand.SET_LIMITS:
            return f"{EVERYWHERE}. What is in memory stays there; what has no room waits in the database."
        case EngineCommand.RELEASE_RESTORED:
            until = view.restored.doubt_until if view.restored is not None else None
            asked = f"Until {until:%Y-%m-%d %H:%M} UTC w" if until is not None else "W"
            return (
                f"{EVERYWHERE}. What may have been sent before is looked up, and repeated only with proof. {asked}hat "
                "looks new is looked up before it is sent, because it may be a re-post of what the backup had lost."
            )
        case _:
            assert_never(command)
