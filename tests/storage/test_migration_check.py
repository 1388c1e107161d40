"""A migration that the release before would not survive is refused, unless it is marked and explained."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from nepxy.cli.main import app
from nepxy.storage.migrate import MIGRATIONS_DIR, MigrationError
from nepxy.storage.migration_check import check_file, check_files, statements_of

EXPAND = "20260103000000_expand_more"
CONTRACT = "20260103000000_contract_less"


def a_file(folder: Path, up: str, *, name: str = EXPAND, before: str = "") -> Path:
    path = folder / f"{name}.py"
    path.write_text(
        f"{before}\n\ndef migrate(migrator, database, *, fake=False):\n    migrator.sql({up!r})\n\n\n"
        "def rollback(migrator, database, *, fake=False):\n    migrator.sql('DROP TABLE app.gone')\n"
    )
    return path


@pytest.mark.parametrize(
    "up",
    [
        "DROP TABLE app.audit_log",
        "drop index app.audit_log_target",
        "ALTER TABLE app.audit_log DROP COLUMN reason",
        "ALTER TABLE app.audit_log ADD COLUMN note text, DROP CONSTRAINT some_check",
        "ALTER TABLE app.audit_log ALTER COLUMN who TYPE varchar(20)",
        "ALTER TABLE app.audit_log ALTER who SET DATA TYPE varchar(20)",
        "ALTER TABLE app.audit_log ALTER COLUMN who DROP DEFAULT",
        "ALTER TABLE app.audit_log ALTER COLUMN request_id SET NOT NULL",
        "ALTER TABLE app.audit_log RENAME COLUMN who TO whom",
        "ALTER TABLE app.audit_log\n  RENAME TO log",
        "TRUNCATE app.audit_log",
        "DELETE FROM app.audit_log",
        "WITH old AS (SELECT 1) DELETE FROM app.audit_log",
        "REVOKE SELECT ON app.audit_log FROM nepxy_app",
        "ALTER TABLE app.audit_log ADD COLUMN note text NOT NULL",
        "ALTER TABLE app.audit_log ADD COLUMN a text DEFAULT '', ADD COLUMN b int NOT NULL",
        "ALTER TABLE app.audit_log ADD CONSTRAINT short CHECK (length(who) < 9)",
        "ALTER TABLE app.audit_log ADD UNIQUE (who)",
        "CREATE INDEX more ON app.mobile_money_payouts (client_id)",
        "CREATE UNIQUE INDEX more ON app.payout_events USING btree (at)",
        "SELECT 1; /* quiet */ DROP SCHEMA app",
        "DO $$ BEGIN DROP TABLE app.audit_log; END $$",
        "DO $body$ BEGIN EXECUTE 'SELECT 1'; TRUNCATE app.audit_log; END $body$",
    ],
)  # fmt: skip
def test_a_destructive_statement_is_refused_in_an_expand_migration(tmp_path: Path, up: str) -> None:
    (finding, *_) = check_file(a_file(tmp_path, up))

    assert finding.migration == EXPAND
    assert finding.hint


@pytest.mark.parametrize(
    "up",
    [
        "CREATE TABLE app.more (n int NOT NULL, CHECK (n > 0))",
        "CREATE TABLE app.more (n int); CREATE INDEX more_n ON app.more (n); ALTER TABLE app.more ALTER n SET NOT NULL",
        "ALTER TABLE app.audit_log ADD COLUMN note text",
        "ALTER TABLE app.audit_log ADD COLUMN note text NOT NULL DEFAULT 'DROP TABLE x'",
        "ALTER TABLE app.audit_log ALTER COLUMN reason DROP NOT NULL",
        "ALTER TABLE app.audit_log ADD CONSTRAINT short CHECK (length(who) < 9) NOT VALID",
        "CREATE INDEX more ON app.audit_log (who)",
        "-- DROP TABLE app.audit_log\nSELECT 1",
        "/* we will RENAME it; DELETE FROM it */ SELECT 1",
        "COMMENT ON TABLE app.audit_log IS 'never DELETE FROM it; nor TRUNCATE'",
        "CREATE FUNCTION app.tidy() RETURNS void LANGUAGE sql AS $$ DELETE FROM app.audit_log $$",
        "INSERT INTO app.engine_controls DEFAULT VALUES ON CONFLICT DO NOTHING",
    ],
)  # fmt: skip
def test_what_only_adds_is_let_through(tmp_path: Path, up: str) -> None:
    assert check_file(a_file(tmp_path, up)) == []


def test_a_contract_migration_may_take_away_if_it_says_why(tmp_path: Path) -> None:
    up = "ALTER TABLE app.audit_log DROP COLUMN reason"
    silent = check_file(a_file(tmp_path, up, name=CONTRACT))
    assert [finding.problem for finding in silent] == [
        "a contract migration that does not say why it is safe"
    ]
    assert check_file(a_file(tmp_path, up, name=CONTRACT, before="CONTRACT = 'because'")) != []

    explained = "CONTRACT = 'Nothing has read it since 1.4.0; 1.3 is not supported any more.'"
    assert check_file(a_file(tmp_path, up, name=CONTRACT, before=explained)) == []


def test_a_file_that_does_more_than_sql_is_refused(tmp_path: Path) -> None:
    path = tmp_path / f"{EXPAND}.py"
    path.write_text(
        "def migrate(migrator, database, *, fake=False):\n    migrator.remove_model('payout')\n\n\n"
        "def rollback(migrator, database, *, fake=False):\n    pass\n"
    )

    with pytest.raises(MigrationError, match="does more than migrator"):
        check_file(path)


def test_our_own_migrations_pass() -> None:
    assert check_files(MIGRATIONS_DIR) == []


def test_statements_are_told_apart_by_semicolons_outside_of_quotes() -> None:
    text = "SELECT 'a;b' AS \"c;d\"; SELECT $x$ ; $x$; -- ; \nSELECT 2"

    assert list(statements_of(text)) == ["SELECT '' AS \"c;d\"", "SELECT ''", "SELECT 2"]


def test_the_command_says_what_is_wrong_and_exits_with_1(tmp_path: Path) -> None:
    a_file(tmp_path, "DROP TABLE app.audit_log")

    bad = CliRunner().invoke(app, ["migrate", "check", "--folder", str(tmp_path)])
    good = CliRunner().invoke(app, ["migrate", "check"])

    assert bad.exit_code == 1
    assert f"{EXPAND}: DROP TABLE app.audit_log" in bad.output
    assert "contract" in bad.output
    assert good.exit_code == 0, good.output
