#!/bin/bash
# Creates docker compose's user and the tables, if they do not exist.
# CASSANDRA_USER and CASSANDRA_PASSWORD come from the environment and appear on no command line.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
umask 077
as() { # NAME PASSWORD: sign in with these from now on
  printf '[PlainTextAuthProvider]\nusername = %s\npassword = %s\n' "$1" "$2" > "$home/credentials"
  printf '[auth_provider]\nmodule = cassandra.auth\nclassname = PlainTextAuthProvider\nusername = %s\n' "$1" > "$home/cqlshrc"
}
cql() { cqlsh --cqlshrc "$home/cqlshrc" --credentials "$home/credentials" "${CASSANDRA_HOST:-cassandra}" "$@"; }

as "$CASSANDRA_USER" "$CASSANDRA_PASSWORD"
if ! cql -e 'SELECT release_version FROM system.local' > /dev/null 2>&1; then
  echo "first start: creating the user $CASSANDRA_USER"
  as cassandra cassandra
  # Cassandra creates its first user about ten seconds after it starts to listen.
  for attempt in {1..60}; do
    reply=$(cql -e 'SELECT release_version FROM system.local' 2>&1) && break
    if [ "$attempt" = 60 ]; then
      echo "neither $CASSANDRA_USER nor the first user of a new Cassandra can sign in: $reply" >&2
      exit 1
    fi
    sleep 2
  done
  password=${CASSANDRA_PASSWORD//\'/\'\'}
  printf "CREATE ROLE IF NOT EXISTS \"%s\" WITH PASSWORD = '%s' AND SUPERUSER = true AND LOGIN = true;\n" \
    "$CASSANDRA_USER" "$password" > "$home/role.cql"
  cql -f "$home/role.cql"
  # Lock the user and password that every new Cassandra has.
  as "$CASSANDRA_USER" "$CASSANDRA_PASSWORD"
  cql -e 'ALTER ROLE cassandra WITH SUPERUSER = false AND LOGIN = false'
fi
cql -f /schema.cql
echo "the keyspace opensea and its tables exist"
