#!/bin/sh
# Writes .env beside docker-compose.yml: a copy of .env.example in which each password that is still empty is
# filled in at random. What an existing .env has already is kept. Needs nothing but a shell.
set -eu
cd "$(dirname "$0")/../.."
umask 077
[ -f .env ] || cp .env.example .env

filled=
for name in MINIO_ROOT_PASSWORD CASSANDRA_PASSWORD CONDUKTOR_DB_PASSWORD CONDUKTOR_ADMIN_PASSWORD JUPYTER_TOKEN; do
  grep -q "^$name=." .env && continue
  secret=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  # Conduktor wants a capital, a small letter, a digit and a sign.
  [ "$name" = CONDUKTOR_ADMIN_PASSWORD ] && secret="Aa1-$secret"
  if grep -q "^$name=" .env; then
    sed "s|^$name=.*|$name=$secret|" .env > .env.new && mv .env.new .env
  else
    printf '%s=%s\n' "$name" "$secret" >> .env
  fi
  filled="$filled $name"
done
chmod 600 .env
echo ".env is ready${filled:+; made:$filled}"
