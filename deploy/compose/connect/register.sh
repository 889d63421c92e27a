#!/bin/bash
# Sends the configuration of each connector to Connect. It leaves out the Cassandra sinks if the service does not
# exist: without the profile `cassandra` its name does not resolve.
set -euo pipefail

connect=${CONNECT_URL:-http://kafka-connect:8083}
for file in /connectors/*.json; do
  name=$(basename "$file" .json)
  if [[ $name == cassandra-* ]] && ! getent hosts cassandra > /dev/null; then
    echo "$name: not registered, because there is no service cassandra (profile cassandra or all)"
    continue
  fi
  for attempt in {1..30}; do
    # 409: the workers are rebalancing, so try again.
    status=$(curl -sS --max-time 60 -o /tmp/reply -w '%{http_code}' -X PUT \
      -H 'Content-Type: application/json' --data "@$file" "$connect/connectors/$name/config") || status=000
    [[ $status == 20? ]] && break
    [[ $status != 409 && $status != 000 && $status != 5?? ]] && break
    sleep 2
  done
  if [[ $status != 20? ]]; then
    echo "$name: Connect answers $status after $attempt attempts: $(cat /tmp/reply)" >&2
    exit 1
  fi
  echo "$name: registered"
done
