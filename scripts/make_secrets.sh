#!/usr/bin/env bash
# Makes the secrets that docker-compose.yml wants: scripts/make_secrets.sh [FOLDER]. What is there already is left alone.
set -euo pipefail
folder="${1:-$(cd "$(dirname "$0")/.." && pwd)/deploy/secrets}"
umask 077
mkdir -p "$folder"

# Letters and digits only: they go into a URL as they are. 32 of them are 190 bits.
random() { LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 32 || true; }
keep() {
	if [ ! -s "$folder/$1" ]; then
		printf '%s' "$2" >"$folder/$1.new"
		# A container's user reads it by its mode; on this machine the folder is closed.
		chmod 444 "$folder/$1.new"
		mv "$folder/$1.new" "$folder/$1"
		echo "made $folder/$1"
	fi
}

for name in postgres_password owner_password app_password jwt_secret grafana_password; do
	keep "$name" "$(random)"
done
keep owner_database_url "postgresql://nepxy_owner:$(cat "$folder/owner_password")@db:5432/nepxy"
keep database_url "postgresql://nepxy_app:$(cat "$folder/app_password")@db:5432/nepxy"
