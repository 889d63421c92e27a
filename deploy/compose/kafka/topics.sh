#!/bin/bash
# Creates topics before ksqlDB declares streams over them, because SQL cannot set this option: the broker stamps
# records of the long form when it appends them. The sink for Cassandra writes each row with that time, so the later
# of two writes wins.
set -euo pipefail
broker=${KAFKA_BOOTSTRAP_SERVERS:-kafka:19092}

for topic in OpenSeaEnrichedGlobalEvents OpenSeaEnrichedCollectionsEvents; do
  kafka-topics --bootstrap-server "$broker" --create --if-not-exists --topic "$topic" \
    --partitions 1 --replication-factor 1 --config retention.ms=-1
  kafka-configs --bootstrap-server "$broker" --alter --entity-type topics --entity-name "$topic" \
    --add-config message.timestamp.type=LogAppendTime
done
