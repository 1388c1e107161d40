"""What operators have set for providers: it survives restarts, and holds on every node."""

from __future__ import annotations

import orjson
import peewee

from nepxy.storage.models import ProviderControl


def paused_providers(database: peewee.Database) -> dict[str, str]:
    """Provider to reason, for those that are paused."""
    rows = ProviderControl.select().where(ProviderControl.paused).execute(database)
    return {row.provider: row.paused_reason for row in rows}


SET_PAUSED = """
WITH before AS (SELECT paused, paused_reason FROM app.provider_controls WHERE provider = %(provider)s),
done AS (
    INSERT INTO app.provider_controls (provider, paused, paused_reason, paused_by, paused_at)
    VALUES (%(provider)s, %(paused)s, %(reason)s, %(who)s, CASE WHEN %(paused)s THEN clock_timestamp() END)
    ON CONFLICT (provider) DO UPDATE SET paused = excluded.paused, paused_reason = excluded.paused_reason,
        paused_by = excluded.paused_by, paused_at = excluded.paused_at, updated_at = clock_timestamp())
INSERT INTO app.audit_log (who, command, target, reason, before, after)
SELECT %(who)s, %(command)s, 'providers/' || %(provider)s, %(reason)s,
    coalesce((SELECT jsonb_build_object('paused', paused, 'reason', paused_reason) FROM before), '{}'), %(after)s
"""


def set_paused(database: peewee.Database, provider: str, *, paused: bool, reason: str, who: str) -> None:
    """Pause or resume a provider, and leave a row in the audit log, in one statement."""
    params = {
        "provider": provider,
        "paused": paused,
        "reason": reason,
        "who": who,
        "command": "pause" if paused else "resume",
        "after": orjson.dumps({"paused": paused, "reason": reason}).decode(),
    }
    database.execute_sql(SET_PAUSED, params)
