"""Commands that wait for a second person. That it is another one, the table's own CHECK sees to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import peewee


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A command that somebody gave, and another may approve until `expires_at`."""

    proposal_id: str
    proposed_at: datetime
    proposed_by: str
    target: str
    command: str
    arguments: dict[str, Any]
    """What the command came with, the version that was looked at included."""
    reason: str
    expires_at: datetime
    state: str
    """`OPEN`, `APPROVED` or `REJECTED`; one that nobody decided on in time stays open, and is over."""
    decided_by: str | None
    decided_at: datetime | None
    outcome: str
    """What approving it led to."""


_COLUMNS = """proposal_id::text, proposed_at, proposed_by, target, command, arguments, reason, expires_at, state,
    decided_by, decided_at, outcome"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProposal:
    """A command that shall wait for a second person."""

    proposal_id: str
    proposed_by: str
    target: str
    command: str
    arguments: dict[str, Any]
    reason: str
    holds_s: float
    """For how long it may be approved."""


def propose(database: peewee.Database, new: NewProposal) -> Proposal:
    """Keep a command for a second person; the same one by the same person waits once, however often it is given."""
    known = database.execute_sql(
        f"""SELECT {_COLUMNS} FROM app.command_proposals
        WHERE state = 'OPEN' AND expires_at > clock_timestamp() AND proposed_by = %s AND target = %s AND command = %s
            AND arguments = %s::jsonb LIMIT 1""",
        (new.proposed_by, new.target, new.command, orjson.dumps(new.arguments).decode()),
    ).fetchone()
    if known is not None:
        return _proposal(known)
    cursor = database.execute_sql(
        f"""INSERT INTO app.command_proposals (proposal_id, proposed_by, target, command, arguments, reason, expires_at)
        VALUES (%s, %s, %s, %s, %s::jsonb, %s, clock_timestamp() + make_interval(secs => %s)) RETURNING {_COLUMNS}""",
        (
            new.proposal_id,
            new.proposed_by,
            new.target,
            new.command,
            orjson.dumps(new.arguments).decode(),
            new.reason,
            new.holds_s,
        ),
    )
    return _proposal(cursor.fetchone())


def find_proposal(database: peewee.Database, proposal_id: str) -> Proposal | None:
    """One proposal, whatever its state."""
    cursor = database.execute_sql(
        f"SELECT {_COLUMNS} FROM app.command_proposals WHERE proposal_id = %s", (proposal_id,)
    )
    row = cursor.fetchone()
    return None if row is None else _proposal(row)


def open_proposals(database: peewee.Database, *, limit: int = 200) -> list[Proposal]:
    """Those that may still be approved, oldest first."""
    cursor = database.execute_sql(
        f"""SELECT {_COLUMNS} FROM app.command_proposals
        WHERE state = 'OPEN' AND expires_at > clock_timestamp() ORDER BY proposed_at LIMIT %s""",
        (limit,),
    )
    return [_proposal(row) for row in cursor.fetchall()]


def claim_proposal(database: peewee.Database, proposal_id: str, *, who: str, state: str) -> Proposal | None:
    """Decide on an open proposal, `APPROVED` or `REJECTED`; None: it is not open any more, and nothing was changed.

    Before the command is done: of two who decide at once one wins. Approved by the same person, and without an outcome
    (the engine did not answer, the process died), it may be claimed again: the command's own key keeps it from being
    done twice.
    """
    cursor = database.execute_sql(
        f"""UPDATE app.command_proposals SET state = %(state)s, decided_by = %(who)s, decided_at = clock_timestamp()
        WHERE proposal_id = %(proposal_id)s AND (
            (state = 'OPEN' AND expires_at > clock_timestamp())
            OR (state = 'APPROVED' AND %(state)s = 'APPROVED' AND decided_by = %(who)s AND outcome = ''))
        RETURNING {_COLUMNS}""",
        {"proposal_id": proposal_id, "who": who, "state": state},
    )
    row = cursor.fetchone()
    return None if row is None else _proposal(row)


def note_outcome(database: peewee.Database, proposal_id: str, outcome: str) -> None:
    """What an approved command led to: `APPLIED`, or why it was refused."""
    database.execute_sql(
        "UPDATE app.command_proposals SET outcome = %s WHERE proposal_id = %s", (outcome, proposal_id)
    )


def _proposal(row: Any) -> Proposal:
    names = tuple(Proposal.__slots__)
    fields = dict(zip(names, row, strict=True))
    if isinstance(fields["arguments"], str):
        fields["arguments"] = orjson.loads(fields["arguments"])
    return Proposal(**fields)
