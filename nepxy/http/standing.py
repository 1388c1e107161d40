"""What the front end knows of a payout's provider at this moment, for explanations and for what may be done."""

from __future__ import annotations

from nepxy.engine.capabilities import Capabilities
from nepxy.engine.decide import Policy, commands_for
from nepxy.engine.explain import ProviderNow, explain
from nepxy.engine.payout import Payout
from nepxy.engine.retry import RetryPolicy
from nepxy.http.parts import Parts


def policy_of(parts: Parts, name: str) -> Policy:
    """The provider's policy as this node is configured; for one that no setting knows: nobody can be asked."""
    known = parts.front.policies.get(name)
    return known or Policy(
        capabilities=Capabilities(),
        retry=RetryPolicy(),
        account=None,
        installation_id=parts.front.installation_id,
        second_person=parts.front.settings.engine.second_person,
    )


def valid_commands(parts: Parts, payout: Payout) -> tuple[str, ...]:
    """The commands that mean something for a payout now."""
    commands = commands_for(payout, now=parts.now(), policy=policy_of(parts, payout.provider))
    return tuple(command.value for command in commands)


async def provider_now(parts: Parts, name: str) -> ProviderNow:
    """What the engine knows of a provider; if it does not answer, its pauses are simply not mentioned."""
    adapter = parts.front.adapters.get(name)
    view = await parts.engine_view.answer()
    described = next((one for one in view.providers if one.name == name), None) if view else None
    held = view is not None and view.restored is not None and view.restored.held
    if described is None:
        return ProviderNow(capabilities=adapter.capabilities if adapter else None, held=held)
    overrides = described.overrides
    return ProviderNow(
        capabilities=adapter.capabilities if adapter else None,
        paused_reason=described.paused_reason if described.paused else None,
        retries_paused_reason=overrides.retries_paused_reason if overrides.retries_paused else None,
        resumes_with_balance=described.resumes_by_itself,
        held=held,
        breaker_open=described.breaker == "open",
        held_until=described.held_until,
    )


async def explanation(parts: Parts, payout: Payout) -> str:
    """Why it is where it is, what happens next and when."""
    return explain(payout, now=parts.now(), provider=await provider_now(parts, payout.provider))
