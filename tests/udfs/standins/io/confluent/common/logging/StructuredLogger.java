package io.confluent.common.logging;

import org.apache.kafka.connect.data.SchemaAndValue;

public interface StructuredLogger {

  void error(SchemaAndValue message);
}
