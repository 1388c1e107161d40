"""What operators have set for providers: it survives restarts, and holds on every node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import peewee

from nepxy.engine.breaker import Forced
from nepxy.engine.controls import EngineControls, ProviderOverrides
from nepxy.engine.outcomes import Shortfall
from nepxy.storage.models import ProviderControl


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who gives a command, and why: what the audit log keeps of it besides what it did."""

    who: str
    """`operator:ID`, `engine`."""
    reason: str
    request_id: str | None = None
    command_id: str | None = None
    """The operator's own key for the command: sent again, it is not done again."""
    arguments: str = "{}"
    """JSON."""
    approved_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """All that operators have set; a provider that is not here has nothing set."""

    providers: Mapping[str, ProviderOverrides] = field(default_factory=dict)
    engine: EngineControls = field(default_factory=EngineControls)


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

# A command that was sent twice at once is done once, and leaves one row.
AUDITED = """
INSERT INTO app.audit_log (who, command, target, reason, before, after, request_id, command_id, arguments,
    approved_by)
SELECT %(who)s, %(command)s, 'providers/' || %(provider)s, %(audit_reason)s,
    coalesce((SELECT jsonb_build_object('paused', paused, 'reason', paused_reason) FROM before), '{}'), %(after)s,
    %(request_id)s, %(command_id)s, %(arguments)s, %(approved_by)s
FROM done
ON CONFLICT (command_id) WHERE command_id IS NOT NULL DO NOTHING"""

NEW_COMMAND: Final = """(%(command_id)s::text IS NULL
        OR NOT EXISTS (SELECT FROM app.audit_log WHERE command_id = %(command_id)s))"""

# The engine's own pause leaves an operator's alone, which its actors may not have heard of yet: else the engine could
# lift it later.
SET_PAUSED = f"""
WITH before AS (SELECT paused, paused_reason FROM app.provider_controls WHERE provider = %(provider)s),
done AS (
    INSERT INTO app.provider_controls AS c (provider, paused, paused_reason, paused_by, paused_at, shortfall_amount,
        shortfall_currency, shortfall_at)
    SELECT %(provider)s, %(paused)s, %(reason)s, %(who)s, CASE WHEN %(paused)s THEN now() END, %(amount)s,
        %(currency)s, CASE WHEN %(amount)s::bigint IS NOT NULL THEN now() END
    WHERE {NEW_COMMAND}
    ON CONFLICT (provider) DO UPDATE SET paused = excluded.paused, paused_reason = excluded.paused_reason,
        paused_by = excluded.paused_by, paused_at = excluded.paused_at,
        shortfall_amount = excluded.shortfall_amount, shortfall_currency = excluded.shortfall_currency,
        shortfall_at = excluded.shortfall_at, updated_at = clock_timestamp()
    WHERE NOT (excluded.paused AND excluded.paused_by = 'engine' AND c.paused AND c.paused_by <> 'engine')
    RETURNING provider)
{AUDITED}"""

# Guarded: an operator may have paused it for something else while the balance was looked at.
RESUME_AFTER_SHORTFALL = f"""
WITH before AS (SELECT paused, paused_reason FROM app.provider_controls WHERE provider = %(provider)s),
done AS (
    UPDATE app.provider_controls SET paused = false, paused_reason = '', paused_by = %(who)s, paused_at = NULL,
        shortfall_amount = NULL, shortfall_currency = NULL, shortfall_at = NULL, updated_at = clock_timestamp()
    WHERE provider = %(provider)s AND paused AND shortfall_at = paused_at AND shortfall_amount = %(amount)s
        AND shortfall_currency = %(currency)s
    RETURNING provider)
{AUDITED}"""


def set_paused(
    database: peewee.Database,
    provider: str,
    *,
    paused: bool,
    reason: str,
    who: str,
    shortfall: Shortfall | None = None,
    by: By | None = None,
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
        by: the operator's command that it is, with what the audit log keeps of it; None: `who` and `reason` say all.
    """
    by = by or By(who=who, reason=reason)
    params = {
        "provider": provider,
        "paused": paused,
        "reason": reason,
        "who": who,
        "command": "pause" if paused else "resume",
        "after": orjson.dumps({"paused": paused, "reason": reason}).decode(),
        "amount": shortfall.amount if shortfall is not None else None,
        "currency": shortfall.currency if shortfall is not None else None,
    } | _audit_params(by)
    only_shortfall = shortfall is not None and not paused
    database.execute_sql(RESUME_AFTER_SHORTFALL if only_shortfall else SET_PAUSED, params)


# ---- what overrides the configuration ------------------------------------------------------------------

COLUMNS: Final = {
    "pause_retries": ("retries_paused", "retries_paused_reason"),
    "resume_retries": ("retries_paused", "retries_paused_reason"),
    "set_backoff": ("backoff_base_s", "backoff_cap_s"),
    "set_pace": ("requests_per_s", "concurrency_max"),
    "open_breaker": ("breaker_forced",),
    "close_breaker": ("breaker_forced",),
    "release_breaker": ("breaker_forced",),
}
"""Which columns of `provider_controls` a command sets."""

ENGINE_COLUMNS: Final = {
    "pause_intake": ("intake_open", "intake_reason", "intake_by"),
    "resume_intake": ("intake_open", "intake_reason", "intake_by"),
    "set_limits": ("payouts_in_memory_max",),
}

AUDIT_SET: Final = f"""
INSERT INTO app.audit_log (who, command, target, reason, before, after, request_id, command_id, arguments,
    approved_by)
SELECT %(who)s, %(command)s, %(target)s, %(audit_reason)s, coalesce((SELECT to_jsonb(before) FROM before), '{{}}'),
    %(after)s, %(request_id)s, %(command_id)s, %(arguments)s, %(approved_by)s
WHERE {NEW_COMMAND}
ON CONFLICT (command_id) WHERE command_id IS NOT NULL DO NOTHING
RETURNING audit_id"""


def controls(database: peewee.Database) -> Controls:
    """All that operators have set, now."""
    providers = {
        row[0]: ProviderOverrides(
            paused_by=row[1],
            paused_at=row[2],
            retries_paused=row[3],
            retries_paused_reason=row[4],
            backoff_base_s=row[5],
            backoff_cap_s=row[6],
            requests_per_s=row[7],
            concurrency_max=row[8],
            breaker_forced=Forced(row[9]),
        )
        for row in database.execute_sql(
            "SELECT provider, CASE WHEN paused THEN paused_by ELSE '' END, paused_at, retries_paused,"
            " retries_paused_reason, backoff_base_s, backoff_cap_s, requests_per_s, concurrency_max, breaker_forced"
            " FROM app.provider_controls"
        ).fetchall()
    }
    engine = database.execute_sql(
        "SELECT intake_open, intake_reason, intake_by, payouts_in_memory_max FROM app.engine_controls"
    ).fetchone()
    if engine is None:
        return Controls(providers=providers)
    return Controls(
        providers=providers,
        engine=EngineControls(
            intake_open=engine[0],
            intake_reason=engine[1],
            intake_by=engine[2],
            payouts_in_memory_max=engine[3],
        ),
    )


def set_overrides(
    database: peewee.Database, provider: str, command: str, values: Mapping[str, Any], by: By
) -> ProviderOverrides:
    """Do one of `COLUMNS`' commands to a provider, with its audit row, in one transaction.

    Args:
        database: the control plane's connection.
        provider: its name.
        command: a key of `COLUMNS`.
        values: one for each of its columns.
        by: whose command it is.

    Returns:
        What holds for the provider now; where the command is one that was done before, that is all.
    """
    columns = COLUMNS[command]
    names, places = ", ".join(columns), ", ".join(f"%({column})s" for column in columns)
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns)
    sql = f"""
        WITH before AS (SELECT {names} FROM app.provider_controls WHERE provider = %(provider)s),
        audited AS ({AUDIT_SET})
        INSERT INTO app.provider_controls (provider, {names}) SELECT %(provider)s, {places} FROM audited
        ON CONFLICT (provider) DO UPDATE SET {updates}, updated_at = clock_timestamp()"""
    _set(
        database, sql, columns, values, by, command=command, target=f"providers/{provider}", provider=provider
    )
    return controls(database).providers.get(provider, ProviderOverrides())


def set_engine(database: peewee.Database, command: str, values: Mapping[str, Any], by: By) -> EngineControls:
    """Do one of `ENGINE_COLUMNS`' commands, with its audit row, in one transaction; what holds now."""
    columns = ENGINE_COLUMNS[command]
    names, updates = ", ".join(columns), ", ".join(f"{column} = %({column})s" for column in columns)
    sql = f"""
        WITH before AS (SELECT {names} FROM app.engine_controls), audited AS ({AUDIT_SET})
        UPDATE app.engine_controls SET {updates}, updated_at = clock_timestamp() FROM audited"""
    _set(database, sql, columns, values, by, command=command, target="supervisor")
    return controls(database).engine


def note_command(
    database: peewee.Database, target: str, command: str, by: By, after: Mapping[str, Any] | None = None
) -> bool:
    """Keep a command that sets nothing, as a sweep or a question: it leaves a row all the same.

    Returns:
        False: a command of this id was done before.
    """
    params = {"command": command, "target": target, "after": _json(after or {})} | _audit_params(by)
    sql = f"WITH before AS (SELECT WHERE false) {AUDIT_SET}"
    return database.execute_sql(sql, params).fetchone() is not None


def _set(
    database: peewee.Database,
    sql: str,
    columns: tuple[str, ...],
    values: Mapping[str, Any],
    by: By,
    **names: str,
) -> None:
    told = {column: values[column] for column in columns}
    database.execute_sql(sql, told | names | {"after": _json(told)} | _audit_params(by))


def _audit_params(by: By) -> dict[str, Any]:
    return {
        "who": by.who,
        "audit_reason": by.reason,
        "request_id": by.request_id,
        "command_id": by.command_id,
        "arguments": by.arguments,
        "approved_by": by.approved_by,
    }


def _json(values: Mapping[str, Any]) -> str:
    return orjson.dumps(values).decode()
