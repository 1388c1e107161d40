"""The first schema: payouts, their attempts, events and keys; webhooks; controls, leases, people.

Hot-path rules (design page): five indexes on payouts, none on a column that a hot update changes unless
the row enters or leaves a partial index; no foreign keys between hot tables (rows are only ever written
from the RETURNING of the guarded write, in one statement, so they cannot dangle, and a foreign key would
lock and dirty the payout's row once more for each event).
"""


def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql(UP)


def rollback(migrator, database, fake=False, **kwargs):
    migrator.sql(DOWN)


UP = """
CREATE SCHEMA IF NOT EXISTS app;

-- What a webhook names need not be a uuid at all: then it is none of our references.
CREATE FUNCTION app.uuid_or_null(value text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT CASE WHEN value ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN value::uuid END $$;

CREATE TABLE app.engine_identity (
    singleton       boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    installation_id text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
INSERT INTO app.engine_identity (installation_id) VALUES (gen_random_uuid()::text);

CREATE TABLE app.api_clients (
    client_id            text PRIMARY KEY,
    name                 text NOT NULL,
    secret_hash          text NOT NULL,
    secret_previous_hash text,
    scopes               text NOT NULL DEFAULT 'payouts:write payouts:read',
    external_ref_unique  boolean NOT NULL DEFAULT true,
    disabled_at          timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app.operators (
    operator_id  text PRIMARY KEY,
    name         text NOT NULL,
    secret_hash  text NOT NULL,
    scopes       text NOT NULL DEFAULT 'admin',
    disabled_at  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app.mobile_money_payouts (
    transaction_id    uuid PRIMARY KEY,
    amount            bigint NOT NULL CHECK (amount > 0),
    version           integer NOT NULL CHECK (version > 0),
    shard             smallint NOT NULL CHECK (shard BETWEEN 0 AND 255),
    generation        smallint NOT NULL DEFAULT 0,
    attempt_count     integer NOT NULL DEFAULT 0,
    unreached_count   integer NOT NULL DEFAULT 0,
    retryable         boolean NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at        timestamptz NOT NULL,
    next_retry_at     timestamptz,
    last_attempt_at   timestamptz,
    answer_by         timestamptz,
    in_doubt_since    timestamptz,
    settled_at        timestamptz,
    status            text NOT NULL CHECK (status IN ('PENDING', 'SENT', 'CONFIRMED', 'FAILED', 'CANCELLED', 'REVIEW')),
    status_reason     text NOT NULL,
    provider          text NOT NULL,
    currency          text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    country           text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    phone_e164        text NOT NULL CHECK (phone_e164 ~ '^[+][1-9][0-9]{6,14}$'),
    client_id         text NOT NULL,
    idempotency_key   text NOT NULL,
    external_ref      text NOT NULL,
    external_ref_slot text NOT NULL DEFAULT '',
    submission_ref    uuid NOT NULL,
    provider_ref      text,
    account           text,
    last_error        text,
    details           text NOT NULL DEFAULT '{}',
    CHECK ((status IN ('CONFIRMED', 'FAILED', 'CANCELLED')) = (settled_at IS NOT NULL)),
    CHECK ((settled_at IS NULL) = (next_retry_at IS NOT NULL)),
    CHECK (status <> 'SENT' OR (attempt_count > 0 AND account IS NOT NULL)),
    CHECK (status <> 'PENDING' OR (provider_ref IS NULL AND in_doubt_since IS NULL)),
    CHECK (settled_at IS NULL OR in_doubt_since IS NULL),
    CHECK (unreached_count BETWEEN 0 AND attempt_count)
) WITH (fillfactor = 60);
COMMENT ON COLUMN app.mobile_money_payouts.external_ref_slot IS
    'Empty: external_ref is unique for the client. The transaction_id where that was switched off for the client.';

CREATE UNIQUE INDEX mobile_money_payouts_external_ref
    ON app.mobile_money_payouts (client_id, external_ref, external_ref_slot);
CREATE INDEX mobile_money_payouts_of_client
    ON app.mobile_money_payouts (client_id, transaction_id);
CREATE UNIQUE INDEX mobile_money_payouts_provider_ref
    ON app.mobile_money_payouts (provider, provider_ref) WHERE provider_ref IS NOT NULL;
CREATE INDEX mobile_money_payouts_in_flight
    ON app.mobile_money_payouts (next_retry_at, transaction_id) WHERE settled_at IS NULL;

CREATE TABLE app.payout_attempts (
    submission_ref uuid PRIMARY KEY,
    transaction_id uuid NOT NULL,
    generation     smallint NOT NULL,
    submit_count   integer NOT NULL DEFAULT 1,
    provider       text NOT NULL,
    account        text NOT NULL,
    phase          text NOT NULL DEFAULT 'SUBMIT',
    send_by        timestamptz NOT NULL,
    answer_by      timestamptz NOT NULL,
    in_doubt_since timestamptz,
    provider_ref   text,
    closed_reason  text,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 90);
CREATE INDEX payout_attempts_of_payout ON app.payout_attempts (transaction_id);
CREATE INDEX payout_attempts_provider_ref ON app.payout_attempts (provider, provider_ref) WHERE provider_ref IS NOT NULL;
CREATE INDEX payout_attempts_in_doubt ON app.payout_attempts (in_doubt_since) WHERE in_doubt_since IS NOT NULL;

CREATE TABLE app.payout_events (
    transaction_id uuid NOT NULL,
    version        integer NOT NULL,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    from_status    text,
    to_status      text NOT NULL,
    why            text NOT NULL,
    who            text NOT NULL,
    reference      uuid,
    attempt        integer,
    evidence       jsonb NOT NULL DEFAULT '{}',
    write_id       uuid NOT NULL,
    request_id     text,
    PRIMARY KEY (transaction_id, version)
);

CREATE TABLE app.idempotency_keys (
    client_id       text NOT NULL,
    idempotency_key text NOT NULL,
    transaction_id  uuid NOT NULL,
    request_hash    text NOT NULL,
    request_body    text NOT NULL,
    response_status smallint NOT NULL,
    response_body   text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (client_id, idempotency_key)
);

CREATE TABLE app.webhook_events (
    webhook_id      uuid PRIMARY KEY,
    provider        text NOT NULL,
    received_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    state           text NOT NULL CHECK (state IN ('INVALID', 'PARKED', 'APPLIED', 'IGNORED')),
    reason          text NOT NULL DEFAULT '',
    signature_valid boolean NOT NULL,
    signed_with     text,
    provider_ref    text,
    our_ref         text,
    external_ref    text,
    status_word     text,
    transaction_id  uuid,
    applied_at      timestamptz,
    headers         jsonb NOT NULL DEFAULT '{}',
    body            text NOT NULL,
    body_sha256     text NOT NULL,
    request_id      text
);
CREATE INDEX webhook_events_of_payout ON app.webhook_events (transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX webhook_events_parked ON app.webhook_events (provider, provider_ref) WHERE state = 'PARKED';
CREATE INDEX webhook_events_parked_ours ON app.webhook_events (our_ref) WHERE state = 'PARKED';

CREATE TABLE app.discrepancies (
    discrepancy_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id uuid NOT NULL,
    provider       text NOT NULL,
    kind           text NOT NULL,
    detail         text NOT NULL,
    evidence       jsonb NOT NULL DEFAULT '{}',
    seen_count     integer NOT NULL DEFAULT 1,
    opened_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at      timestamptz,
    closed_by      text
);
CREATE UNIQUE INDEX discrepancies_open ON app.discrepancies (transaction_id, kind) WHERE closed_at IS NULL;

CREATE TABLE app.audit_log (
    audit_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    who        text NOT NULL,
    command    text NOT NULL,
    target     text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    before     jsonb NOT NULL DEFAULT '{}',
    after      jsonb NOT NULL DEFAULT '{}',
    request_id text
);

CREATE TABLE app.provider_controls (
    provider      text PRIMARY KEY,
    paused        boolean NOT NULL DEFAULT false,
    paused_reason text NOT NULL DEFAULT '',
    paused_by     text NOT NULL DEFAULT '',
    paused_at     timestamptz,
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE app.nodes (
    node_id      text PRIMARY KEY,
    host         text NOT NULL,
    app_version  text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE app.shard_leases (
    shard       smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 255),
    owner       text,
    epoch       bigint NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO app.shard_leases (shard) SELECT generate_series(0, 255);
"""

DOWN = """
DROP TABLE app.shard_leases, app.nodes, app.provider_controls, app.audit_log, app.discrepancies, app.webhook_events,
    app.idempotency_keys, app.payout_events, app.payout_attempts, app.mobile_money_payouts, app.operators,
    app.api_clients, app.engine_identity;
DROP FUNCTION app.uuid_or_null;
"""
