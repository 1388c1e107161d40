#!/bin/sh
# Starts NepXy: start.sh [serve | migrate up | …]. It becomes the process itself, so that signals reach it.
set -eu
if [ "$(id -u)" = 0 ]; then
	echo "NepXy does not run as root: start it as another user." >&2
	exit 2
fi
[ $# -gt 0 ] || set -- serve
# Where one set of secrets goes to every process, only the migration is the schema's owner.
if [ "$1" = migrate ] && [ -n "${OWNER_DATABASE_URL:-}" ]; then
	export DATABASE_URL="$OWNER_DATABASE_URL"
	unset DATABASE_URL_FILE
fi
unset OWNER_DATABASE_URL
exec "${NEPXY_PREFIX:-/opt/nepxy}/bin/python" -m nepxy "$@"
