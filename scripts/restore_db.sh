#!/usr/bin/env bash
# Restores a backup: scripts/restore_db.sh FILE [--overwrite], with DATABASE_URL set to where it shall go, as the role that
# migrates. Afterwards the engine submits nothing until an operator releases it: see docs/backup-and-restore.md.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
python="${PYTHON:-python3}"

file="${1:-}"
overwrite="${2:-}"
if [ -z "$file" ] || { [ -n "$overwrite" ] && [ "$overwrite" != --overwrite ]; }; then
	echo "Say what: scripts/restore_db.sh FILE [--overwrite]" >&2
	exit 2
fi
if [ ! -r "$file" ]; then
	echo "$file cannot be read." >&2
	exit 2
fi

if [ -e "$file.sha256" ]; then
	if ! (cd "$(dirname "$file")" && sha256sum --check --status "$(basename "$file").sha256"); then
		echo "$file is not what was backed up: its SHA-256 is another one. Nothing was restored." >&2
		exit 1
	fi
else
	echo "warning: $file has no .sha256 beside it, so nobody knows whether it is whole" >&2
fi

state="$("$python" "$here/pg_tool.py" state)"
case "$state" in
held)
	echo "An engine works on this database: stop every engine first (its leases lapse within seconds)." >&2
	exit 2
	;;
used)
	if [ "$overwrite" != --overwrite ]; then
		echo "The database is not empty, and everything in it would be lost. Restore into a new one, or say --overwrite." >&2
		exit 2
	fi
	"$python" "$here/pg_tool.py" clear
	;;
esac

database="$("$python" -c 'import os; from psycopg2.extensions import parse_dsn; print(parse_dsn(os.environ["DATABASE_URL"])["dbname"])')"
"$python" "$here/pg_tool.py" run pg_restore --exit-on-error --single-transaction --no-owner --no-privileges \
	--dbname="$database" "$file"

# Of the settings these two commands need the database's URL and nothing else.
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
nepxy() { ENV=dev NEPXY_DATA_DIR="$scratch" "$python" -m nepxy "$@"; }
if ! nepxy migrate status >/dev/null; then
	nepxy migrate up
fi
nepxy restored mark --reason "restored from $(basename "$file")" --who restore_db.sh
echo "Restored. Now give the engine's role its rights (scripts/roles.sql), start the engine, let it look things up, and then: nepxy restored release"
