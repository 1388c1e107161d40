#!/usr/bin/env bash
# Backs the database up: scripts/backup_db.sh FOLDER, with DATABASE_URL set. Prints the file's name.
# The file holds people's numbers: it is readable by its owner only. See docs/backup-and-restore.md.
set -euo pipefail
umask 077
here="$(cd "$(dirname "$0")" && pwd)"
python="${PYTHON:-python3}"

folder="${1:-}"
if [ -z "$folder" ]; then
	echo "Say where to: scripts/backup_db.sh FOLDER" >&2
	exit 2
fi
mkdir -p "$folder"
state="$("$python" "$here/pg_tool.py" state)"
if [ "$state" = empty ]; then
	echo "The database is empty: there is nothing to back up. Is DATABASE_URL right?" >&2
	exit 2
fi

file="$folder/nepxy-$(date -u +%Y%m%dT%H%M%SZ).dump"
if [ -e "$file" ]; then
	echo "$file is there already: nothing was done." >&2
	exit 2
fi
trap 'rm -f "$file.part" "$file.list"' EXIT
# Ownership and privileges belong to the place, not to the data: scripts/roles.sql makes them.
"$python" "$here/pg_tool.py" run pg_dump --format=custom --no-owner --no-privileges --file="$file.part"

# A dump that cannot be read, or lacks what matters, is no backup.
"$python" "$here/pg_tool.py" run pg_restore --list "$file.part" >"$file.list"
for table in mobile_money_payouts payout_attempts payout_events idempotency_keys engine_identity; do
	if ! grep -q "TABLE DATA app $table " "$file.list"; then
		echo "The dump has no app.$table: it is not kept. Is this NepXy's database?" >&2
		exit 1
	fi
done
mv "$file.part" "$file"
(cd "$folder" && sha256sum "$(basename "$file")" >"$(basename "$file").sha256")
echo "$file"
