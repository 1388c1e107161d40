-- The database's roles, and what each may do. Run it as a superuser, in NepXy's database, once before the first migration
-- and again after each release that migrates: psql "$ADMIN_DATABASE_URL" -v ON_ERROR_STOP=1 -f scripts/roles.sql
--
--   nepxy_owner  migrates, backs up and restores. It owns the schema; no serving process logs in as it.
--   nepxy_app    the engine. It reads and writes rows; it cannot change the schema, empty a table, or alter history.
--
-- Passwords are set apart from this file, and after it: ALTER ROLE nepxy_app PASSWORD '…'.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nepxy_owner') THEN
        CREATE ROLE nepxy_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nepxy_app') THEN
        CREATE ROLE nepxy_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 200;
    END IF;
    -- Everybody may connect and make temporary tables by default.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO nepxy_owner', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO nepxy_app', current_database());
    -- `nepxy database` shows whose forgotten session holds a table, statements without their values. It may end none.
    GRANT pg_read_all_stats TO nepxy_app;
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO nepxy_owner;
GRANT USAGE ON SCHEMA public TO nepxy_app;

-- What the next migrations make.
ALTER DEFAULT PRIVILEGES FOR ROLE nepxy_owner GRANT USAGE ON SCHEMAS TO nepxy_app;
ALTER DEFAULT PRIVILEGES FOR ROLE nepxy_owner GRANT SELECT, INSERT, UPDATE ON TABLES TO nepxy_app;
ALTER DEFAULT PRIVILEGES FOR ROLE nepxy_owner GRANT USAGE, SELECT ON SEQUENCES TO nepxy_app;

-- What is there already.
DO $$
BEGIN
    IF to_regnamespace('app') IS NULL THEN
        RETURN;  -- not migrated yet
    END IF;
    GRANT USAGE ON SCHEMA app TO nepxy_app;
    GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA app TO nepxy_app;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA app TO nepxy_app;
    -- History is written once. Nobody who took the engine over could hide what was done.
    REVOKE UPDATE ON app.payout_events, app.audit_log FROM nepxy_app;
    -- The only rows that the engine ever removes: sessions of the console that have ended and lapsed.
    IF to_regclass('app.ended_sessions') IS NOT NULL THEN
        GRANT DELETE ON app.ended_sessions TO nepxy_app;
    END IF;
    -- The migrations' history: to be read, for /readyz.
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM nepxy_app;
    GRANT SELECT ON public._pw_migrate_internal TO nepxy_app;
END $$;
