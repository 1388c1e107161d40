#!/bin/bash
# Run once, by the database's own image, after scripts/roles.sql: the roles get their passwords from the secrets' files.
set -euo pipefail
secrets="${SECRETS_DIR:-/run/secrets}"
for pair in nepxy_owner:owner_password nepxy_app:app_password; do
	role="${pair%%:*}"
	export SECRET_FILE="$secrets/${pair##*:}"
	if [ ! -s "$SECRET_FILE" ]; then
		echo "$SECRET_FILE is empty or not there: scripts/make_secrets.sh makes it" >&2
		exit 1
	fi
	# psql reads and quotes it: on a command line everybody could read it.
	psql --username=postgres --dbname=nepxy --no-psqlrc --set=ON_ERROR_STOP=1 --quiet <<-'SQL' --set=role="$role"
		\set secret `cat "$SECRET_FILE"`
		ALTER ROLE :"role" PASSWORD :'secret';
	SQL
done
