"""Who may work on which payouts: 256 shards, each leased to a node until a time, by the database's clock.

A change of owner raises the shard's epoch, and every intent names the epoch that it was decided under: a
node that froze, lost its lease and wakes late is refused by the database, not by its own good manners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import peewee


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldShards:
    """What a node holds after asking, and what stands in its way."""

    epochs: dict[int, int]
    """Shard to epoch."""
    other_owner: str | None
    """A node that holds shards which we do not; None: nobody does."""
    other_until: datetime | None
    """When the last of the other's leases lapses unless it renews, by the database's clock."""
    database_now: datetime


ACQUIRE = """
WITH mine AS (
    UPDATE app.shard_leases l
    SET owner = %(node)s, epoch = l.epoch + CASE WHEN l.owner = %(node)s THEN 0 ELSE 1 END,
        lease_until = clock_timestamp() + make_interval(secs => %(ttl_s)s)
    FROM (SELECT shard FROM app.shard_leases
          WHERE owner = %(node)s OR owner IS NULL OR lease_until < clock_timestamp() OR owner = ANY(%(gone)s::text[])
          ORDER BY shard FOR UPDATE SKIP LOCKED) free
    WHERE l.shard = free.shard
    RETURNING l.shard, l.epoch),
beat AS (
    INSERT INTO app.nodes AS n (node_id, host, app_version) VALUES (%(node)s, %(host)s, %(version)s)
    ON CONFLICT (node_id) DO UPDATE SET heartbeat_at = clock_timestamp())
SELECT m.shard, m.epoch, o.owner, o.lease_until, clock_timestamp()
FROM (SELECT 1) one
LEFT JOIN mine m ON true
LEFT JOIN LATERAL (
    SELECT owner, lease_until FROM app.shard_leases
    WHERE owner IS NOT NULL AND owner <> %(node)s AND owner <> ALL(%(gone)s::text[])
      AND lease_until >= clock_timestamp()
    ORDER BY lease_until DESC LIMIT 1) o ON true
"""

RELEASE = """
UPDATE app.shard_leases SET owner = NULL, lease_until = '-infinity' WHERE owner = %s
"""


def acquire_or_renew(
    database: peewee.Database,
    *,
    node_id: str,
    host: str,
    app_version: str,
    ttl_s: float,
    gone: Sequence[str] = (),
) -> HeldShards:
    """Renew what this node holds and take what nobody holds; note the node's heartbeat.

    `gone` are nodes that are known to be no more: their leases are not waited for. The epoch is raised all the same.
    """
    params = {"node": node_id, "host": host, "version": app_version, "ttl_s": ttl_s, "gone": list(gone)}
    rows = database.execute_sql(ACQUIRE, params).fetchall()
    first = rows[0]
    return HeldShards(
        epochs={shard: epoch for shard, epoch, *_ in rows if shard is not None},
        other_owner=first[2],
        other_until=first[3].astimezone(UTC) if first[3] else None,
        database_now=first[4].astimezone(UTC),
    )


def release(database: peewee.Database, *, node_id: str) -> None:
    """Give all shards back at once, so that a successor need not wait for the lease to lapse."""
    database.execute_sql(RELEASE, (node_id,))


def installation_id(database: peewee.Database) -> str:
    """This installation's identity: part of every submission reference, and never changed."""
    row = database.execute_sql("SELECT installation_id FROM app.engine_identity").fetchone()
    return str(row[0])
