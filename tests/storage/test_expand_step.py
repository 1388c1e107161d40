"""What a release before this one left in flight still means what it meant."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import psycopg2

from nepxy.storage.migrate import MIGRATIONS_DIR, migrate_down, migrate_up
from tests.postgres_server import PostgresServer

STEP = "20261124010000_expand_step"
ROW = """
INSERT INTO app.mobile_money_payouts (transaction_id, amount, version, shard, attempt_count, created_at, expires_at,
    last_attempt_at, settled_at, next_retry_at, status, status_reason, provider, currency, country, phone_e164,
    client_id, idempotency_key, external_ref, submission_ref, account, provider_ref)
SELECT gen_random_uuid(), 1000, 2, 0, 1, now(), now(), CASE WHEN name <> 'unstamped' THEN now() - interval '1 hour' END,
    CASE WHEN name = 'settled' THEN now() END, CASE WHEN name <> 'settled' THEN now() END,
    CASE WHEN name = 'settled' THEN 'CONFIRMED' ELSE 'SENT' END, 'IN_DOUBT', 'THUNES', 'XOF', 'TG', '+22890123456',
    'acme', name, name, gen_random_uuid(), 'sandbox', CASE WHEN name <> 'unnamed' THEN name END
FROM unnest(ARRAY['named', 'unstamped', 'unnamed', 'settled']) AS name"""


def test_a_name_that_an_older_release_kept_means_that_the_payout_was_taken(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    for path in MIGRATIONS_DIR.glob("*.py"):
        if path.stem < STEP:
            shutil.copy(path, tmp_path)
    with postgres.fresh_database(migrated=False) as url:
        migrate_up(url, migrations_dir=tmp_path)
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(ROW)
        assert STEP in migrate_up(url)
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT external_ref FROM app.mobile_money_payouts WHERE taken_at IS NOT NULL ORDER BY 1"
            )
            assert [name for (name,) in cursor.fetchall()] == ["named", "unstamped"]
            cursor.execute(
                "SELECT taken_at = last_attempt_at FROM app.mobile_money_payouts WHERE external_ref = 'named'"
            )
            assert cursor.fetchall() == [(True,)]


def test_it_can_be_taken_back(postgres: PostgresServer) -> None:
    with postgres.fresh_database(migrated=False) as url:
        migrate_up(url)
        names = {path.stem for path in MIGRATIONS_DIR.glob("*.py")}
        for name in sorted((each for each in names if each >= STEP), reverse=True):
            assert migrate_down(url) == name
        assert STEP in migrate_up(url)
