#!/bin/bash
# Topics that must be there before ksqlDB declares its streams over them, because of a setting that SQL cannot
# give: records of the long form are stamped when they are appended, not with the window's time. The sink for
# Cassandra writes with that time, and of two writes of one row the later one must win.
set -euo pipefail
broker=${KAFKA_BOOTSTRAP_SERVERS:-kafka:19092}

for topic in OpenSeaEnrichedGlobalEvents OpenSeaEnrichedCollectionsEvents; do
  kafka-topics --bootstrap-server "$broker" --create --if-not-exists --topic "$topic" \
    --partitions 1 --replication-factor 1 --config retention.ms=-1
  kafka-configs --bootstrap-server "$broker" --alter --entity-type topics --entity-name "$topic" \
    --add-config message.timestamp.type=LogAppendTime
done
