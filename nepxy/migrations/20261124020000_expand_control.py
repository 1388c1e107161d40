"""What operators steer with: commands that are kept and answered again, approvals, levers that touch many, overrides.

The audit log learns a command's own key (so that one sent twice is done once), its arguments, who approved it and how
it ended. All of it is beside what the release before reads and writes: its rows get the defaults.

The release before does not know the overrides, and goes on by its own settings until it is replaced; its pauses and
resumes leave them alone.
"""


def migrate(migrator, database, *, fake=False):
    migrator.sql(UP)


def rollback(migrator, database, *, fake=False):
    migrator.sql(DOWN)


UP = """
ALTER TABLE app.audit_log
    ADD COLUMN command_id  text,
    ADD COLUMN arguments   jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN approved_by text,
    ADD COLUMN outcome     text NOT NULL DEFAULT 'APPLIED';
CREATE UNIQUE INDEX audit_log_command ON app.audit_log (command_id) WHERE command_id IS NOT NULL;
CREATE INDEX audit_log_target ON app.audit_log (target, audit_id);
COMMENT ON COLUMN app.audit_log.command_id IS 'The operator''s own key for the command: sent again, it is answered and not done again.';

ALTER TABLE app.provider_controls
    ADD COLUMN retries_paused        boolean NOT NULL DEFAULT false,
    ADD COLUMN retries_paused_reason text NOT NULL DEFAULT '',
    ADD COLUMN backoff_base_s        double precision CHECK (backoff_base_s > 0),
    ADD COLUMN backoff_cap_s         double precision CHECK (backoff_cap_s > 0),
    ADD COLUMN requests_per_s        double precision CHECK (requests_per_s >= 0),
    ADD COLUMN concurrency_max       integer CHECK (concurrency_max > 0),
    ADD COLUMN breaker_forced        text NOT NULL DEFAULT '' CHECK (breaker_forced IN ('', 'open', 'closed'));
COMMENT ON COLUMN app.provider_controls.retries_paused IS 'First attempts go on; no payout is sent a second time.';
COMMENT ON COLUMN app.provider_controls.backoff_base_s IS 'NULL here and below: as the node is configured.';

CREATE TABLE app.engine_controls (
    singleton             boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    intake_open           boolean NOT NULL DEFAULT true,
    intake_reason         text NOT NULL DEFAULT '',
    intake_by             text NOT NULL DEFAULT '',
    payouts_in_memory_max integer CHECK (payouts_in_memory_max > 0),
    updated_at            timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO app.engine_controls DEFAULT VALUES;

CREATE TABLE app.command_proposals (
    proposal_id      uuid PRIMARY KEY,
    proposed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    proposed_by      text NOT NULL,
    target           text NOT NULL,
    command          text NOT NULL,
    arguments        jsonb NOT NULL DEFAULT '{}',
    reason           text NOT NULL,
    expires_at       timestamptz NOT NULL,
    state            text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'APPROVED', 'REJECTED')),
    decided_by       text,
    decided_at       timestamptz,
    outcome          text NOT NULL DEFAULT '',
    CHECK (decided_by IS NULL OR decided_by <> proposed_by OR state = 'REJECTED')
);
CREATE INDEX command_proposals_open ON app.command_proposals (proposed_at) WHERE state = 'OPEN';
COMMENT ON TABLE app.command_proposals IS 'Commands that wait for a second person; that it is another one, the CHECK sees to.';

CREATE TABLE app.bulk_runs (
    run_id      uuid PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    who         text NOT NULL,
    approved_by text,
    command     text NOT NULL,
    arguments   jsonb NOT NULL DEFAULT '{}',
    selector    jsonb NOT NULL,
    reason      text NOT NULL,
    per_minute  integer NOT NULL CHECK (per_minute > 0),
    expires_at  timestamptz NOT NULL,
    state       text NOT NULL DEFAULT 'RUNNING' CHECK (state IN ('RUNNING', 'STOPPED', 'DONE', 'EXPIRED')),
    ended_at    timestamptz,
    ended_by    text,
    request_id  text
);
CREATE INDEX bulk_runs_running ON app.bulk_runs (started_at) WHERE state = 'RUNNING';
CREATE TABLE app.bulk_items (
    run_id         uuid NOT NULL,
    n              integer NOT NULL,
    transaction_id uuid NOT NULL,
    seen_version   integer NOT NULL,
    amount         bigint NOT NULL,
    currency       text NOT NULL,
    done_at        timestamptz,
    outcome        text,
    PRIMARY KEY (run_id, n)
);
COMMENT ON COLUMN app.bulk_items.seen_version IS 'As selected: what has moved on since is left alone.';

CREATE TABLE app.reconcile_reports (
    report_id   uuid PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    who         text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('LOOK_UP', 'SETTLEMENT_FILE')),
    provider    text,
    state       text NOT NULL DEFAULT 'RUNNING' CHECK (state IN ('RUNNING', 'DONE', 'FAILED')),
    parameters  jsonb NOT NULL DEFAULT '{}',
    figures     jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE app.reconcile_differences (
    report_id      uuid NOT NULL,
    n              integer NOT NULL,
    kind           text NOT NULL,
    transaction_id uuid,
    ours           jsonb NOT NULL DEFAULT '{}',
    theirs         jsonb NOT NULL DEFAULT '{}',
    detail         text NOT NULL DEFAULT '',
    PRIMARY KEY (report_id, n)
);
"""

DOWN = """
DROP TABLE app.reconcile_differences, app.reconcile_reports, app.bulk_items, app.bulk_runs, app.command_proposals,
    app.engine_controls;
ALTER TABLE app.provider_controls DROP COLUMN retries_paused, DROP COLUMN retries_paused_reason,
    DROP COLUMN backoff_base_s, DROP COLUMN backoff_cap_s, DROP COLUMN requests_per_s, DROP COLUMN concurrency_max,
    DROP COLUMN breaker_forced;
DROP INDEX app.audit_log_command, app.audit_log_target;
ALTER TABLE app.audit_log DROP COLUMN command_id, DROP COLUMN arguments, DROP COLUMN approved_by, DROP COLUMN outcome;
"""
