#!/bin/sh
# Writes .env beside docker-compose.yml: a copy of .env.example with a random value for each empty password. It keeps
# the values of an existing .env, and needs only a shell.
set -eu
cd "$(dirname "$0")/../.."
umask 077
[ -f .env ] || cp .env.example .env

filled=
for name in MINIO_ROOT_PASSWORD CASSANDRA_PASSWORD CONDUKTOR_DB_PASSWORD CONDUKTOR_ADMIN_PASSWORD \
    DASHBOARD_PASSWORD JUPYTER_TOKEN; do
  grep -q "^$name=." .env && continue
  secret=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  # Conduktor requires an upper-case letter, a lower-case letter, a digit and a symbol.
  [ "$name" = CONDUKTOR_ADMIN_PASSWORD ] && secret="Aa1-$secret"
  if grep -q "^$name=" .env; then
    sed "s|^$name=.*|$name=$secret|" .env > .env.new && mv .env.new .env
  else
    printf '%s=%s\n' "$name" "$secret" >> .env
  fi
  filled="$filled $name"
done
chmod 600 .env
echo ".env is ready${filled:+; filled in:$filled}"
