"""Which server and database this is, and whether it was restored from a backup (docs/decisions/0009).

Only columns with constant defaults, and a function: nothing is rewritten, and the release before does not look at them.
"""


def migrate(migrator, database, *, fake=False):
    migrator.sql(UP)


def rollback(migrator, database, *, fake=False):
    migrator.sql(DOWN)


UP = """
ALTER TABLE app.engine_identity
    ADD COLUMN cluster      text,
    ADD COLUMN restored_at  timestamptz,
    ADD COLUMN restored_why text NOT NULL DEFAULT '',
    ADD COLUMN released_at  timestamptz,
    ADD COLUMN doubt_until  timestamptz;
COMMENT ON COLUMN app.engine_identity.cluster IS 'app.cluster_identity() as an engine last saw it; NULL: none has looked yet.';
COMMENT ON COLUMN app.engine_identity.released_at IS 'NULL after a restore: nothing is submitted until an operator releases the engine.';
COMMENT ON COLUMN app.engine_identity.doubt_until IS 'Until when what looks new is taken for the possible re-post of what the backup had lost.';

-- Another server: the first number. Another database of it: the second. Restored over the same one: the third, since
-- a dump makes its tables anew. Rewound to a point in time, or failed over to a copy: the timeline.
CREATE FUNCTION app.cluster_identity() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT s.system_identifier || '/' || d.oid || '/' || c.oid || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
    FROM pg_control_system() s, pg_database d, pg_class c
    WHERE d.datname = current_database()
      AND c.relname = 'mobile_money_payouts' AND c.relnamespace = 'app'::regnamespace
$$;
"""

DOWN = """
DROP FUNCTION app.cluster_identity;
ALTER TABLE app.engine_identity DROP COLUMN cluster, DROP COLUMN restored_at, DROP COLUMN restored_why,
    DROP COLUMN released_at, DROP COLUMN doubt_until;
"""
