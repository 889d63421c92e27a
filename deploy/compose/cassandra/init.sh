#!/bin/bash
# Makes the user of docker compose and the tables; does nothing that is done already.
# CASSANDRA_USER and CASSANDRA_PASSWORD come from the environment, and are not on any command line.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
umask 077
as() { # NAME PASSWORD: how cqlsh signs in from now on
  printf '[PlainTextAuthProvider]\nusername = %s\npassword = %s\n' "$1" "$2" > "$home/credentials"
  printf '[auth_provider]\nmodule = cassandra.auth\nclassname = PlainTextAuthProvider\nusername = %s\n' "$1" > "$home/cqlshrc"
}
cql() { cqlsh --cqlshrc "$home/cqlshrc" --credentials "$home/credentials" cassandra "$@"; }

as "$CASSANDRA_USER" "$CASSANDRA_PASSWORD"
if ! cql -e 'SELECT release_version FROM system.local' > /dev/null 2>&1; then
  echo "first start: making the user $CASSANDRA_USER"
  as cassandra cassandra
  password=${CASSANDRA_PASSWORD//\'/\'\'}
  cql -f /dev/stdin <<CQL
CREATE ROLE IF NOT EXISTS "$CASSANDRA_USER" WITH PASSWORD = '$password' AND SUPERUSER = true AND LOGIN = true;
CQL
  # Nobody may sign in with the user and password that every new Cassandra has.
  as "$CASSANDRA_USER" "$CASSANDRA_PASSWORD"
  cql -e 'ALTER ROLE cassandra WITH SUPERUSER = false AND LOGIN = false'
fi
cql -f /schema.cql
echo "keyspace opensea and its tables are there"
