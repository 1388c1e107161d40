"""Sessions of the console that were ended before their time: signing out holds on every node and over restarts.

A session itself is a signed cookie and has no row. The release before has no console, and never looks here.
"""


def migrate(migrator, database, *, fake=False):
    migrator.sql(UP)


def rollback(migrator, database, *, fake=False):
    migrator.sql(DOWN)


UP = """
CREATE TABLE app.ended_sessions (
    session_id text PRIMARY KEY,
    ended_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    forget_at  timestamptz NOT NULL
);
COMMENT ON COLUMN app.ended_sessions.forget_at IS 'From when on the cookie is refused for its age anyway.';
"""

DOWN = """
DROP TABLE app.ended_sessions;
"""
