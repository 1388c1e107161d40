"""What the database knows of the console's sessions: which were ended, and whether their secret still holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import peewee


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStanding:
    """What the database says about a session."""

    secret_mark: str | None
    """Names the secret that the operator has now, and gives nothing of it away; None: there is no such operator."""
    ended: bool


# The hash has a salt of its own, so a digest of it names a secret without being one that could be guessed at.
STANDING = """
SELECT (SELECT left(encode(sha256(convert_to(secret_hash, 'UTF8')), 'hex'), 16)
        FROM app.operators WHERE operator_id = %s),
    EXISTS (SELECT 1 FROM app.ended_sessions WHERE session_id = %s)"""

END = """
INSERT INTO app.ended_sessions (session_id, forget_at) VALUES (%s, %s) ON CONFLICT DO NOTHING"""

FORGET = """
DELETE FROM app.ended_sessions WHERE forget_at < clock_timestamp()"""


def session_standing(database: peewee.Database, operator_id: str, session_id: str) -> SessionStanding:
    """How a session of this operator stands."""
    mark, ended = database.execute_sql(STANDING, (operator_id, session_id)).fetchone()
    return SessionStanding(secret_mark=mark, ended=ended)


def end_session(database: peewee.Database, session_id: str, forget_at: datetime) -> None:
    """Refuse this session from now on, everywhere; until `forget_at`, when it would have ended by itself."""
    database.execute_sql(FORGET)
    database.execute_sql(END, (session_id, forget_at))
