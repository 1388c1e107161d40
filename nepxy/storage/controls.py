"""What operators have set for providers: it survives restarts, and holds on every node."""

from __future__ import annotations

import orjson
import peewee

from nepxy.engine.outcomes import Shortfall
from nepxy.storage.models import ProviderControl


def paused_providers(database: peewee.Database) -> dict[str, str]:
    """Provider to reason, for those that are paused."""
    rows = ProviderControl.select().where(ProviderControl.paused).execute(database)
    return {row.provider: row.paused_reason for row in rows}


def shortfalls(database: peewee.Database) -> dict[str, Shortfall]:
    """Provider to what we would have to hold there, for those that the engine paused for want of it."""
    rows = ProviderControl.select().where(ProviderControl.paused & IS_SHORT).execute(database)
    return {
        row.provider: Shortfall(amount=row.shortfall_amount, currency=row.shortfall_currency) for row in rows
    }


IS_SHORT = ProviderControl.shortfall_at == ProviderControl.paused_at
"""A release that knows no shortfalls pauses without clearing an old one: its pause has another time."""

AUDITED = """
INSERT INTO app.audit_log (who, command, target, reason, before, after)
SELECT %(who)s, %(command)s, 'providers/' || %(provider)s, %(reason)s,
    coalesce((SELECT jsonb_build_object('paused', paused, 'reason', paused_reason) FROM before), '{}'), %(after)s
"""

# The engine's own pause leaves an operator's alone, which its actors may not have heard of yet: else the engine could
# lift it later.
SET_PAUSED = f"""
WITH before AS (SELECT paused, paused_reason FROM app.provider_controls WHERE provider = %(provider)s),
done AS (
    INSERT INTO app.provider_controls AS c (provider, paused, paused_reason, paused_by, paused_at, shortfall_amount,
        shortfall_currency, shortfall_at)
    VALUES (%(provider)s, %(paused)s, %(reason)s, %(who)s, CASE WHEN %(paused)s THEN now() END, %(amount)s,
        %(currency)s, CASE WHEN %(amount)s::bigint IS NOT NULL THEN now() END)
    ON CONFLICT (provider) DO UPDATE SET paused = excluded.paused, paused_reason = excluded.paused_reason,
        paused_by = excluded.paused_by, paused_at = excluded.paused_at,
        shortfall_amount = excluded.shortfall_amount, shortfall_currency = excluded.shortfall_currency,
        shortfall_at = excluded.shortfall_at, updated_at = clock_timestamp()
    WHERE NOT (excluded.paused AND excluded.paused_by = 'engine' AND c.paused AND c.paused_by <> 'engine')
    RETURNING provider)
{AUDITED} FROM done"""

# Guarded: an operator may have paused it for something else while the balance was looked at.
RESUME_AFTER_SHORTFALL = f"""
WITH before AS (SELECT paused, paused_reason FROM app.provider_controls WHERE provider = %(provider)s),
done AS (
    UPDATE app.provider_controls SET paused = false, paused_reason = '', paused_by = %(who)s, paused_at = NULL,
        shortfall_amount = NULL, shortfall_currency = NULL, shortfall_at = NULL, updated_at = clock_timestamp()
    WHERE provider = %(provider)s AND paused AND shortfall_at = paused_at AND shortfall_amount = %(amount)s
        AND shortfall_currency = %(currency)s
    RETURNING provider)
{AUDITED} FROM done"""


def set_paused(
    database: peewee.Database,
    provider: str,
    *,
    paused: bool,
    reason: str,
    who: str,
    shortfall: Shortfall | None = None,
) -> None:
    """Pause or resume a provider, and leave a row in the audit log, in one statement; or do nothing, where the engine
    may not.

    Args:
        database: the control plane's connection.
        provider: its name.
        paused: what it shall be.
        reason: of a pause.
        who: `engine`, `operator:ID`.
        shortfall: a pause is for want of it; a resume lifts only a pause that is for want of it.
    """
    params = {
        "provider": provider,
        "paused": paused,
        "reason": reason,
        "who": who,
        "command": "pause" if paused else "resume",
        "after": orjson.dumps({"paused": paused, "reason": reason}).decode(),
        "amount": shortfall.amount if shortfall is not None else None,
        "currency": shortfall.currency if shortfall is not None else None,
    }
    only_shortfall = shortfall is not None and not paused
    database.execute_sql(RESUME_AFTER_SHORTFALL if only_shortfall else SET_PAUSED, params)
