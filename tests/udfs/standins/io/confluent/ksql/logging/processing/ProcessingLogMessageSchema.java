package io.confluent.ksql.logging.processing;

import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;

/** The one kind of entry that the runtime writes. */
public final class ProcessingLogMessageSchema {

  public static final String TYPE = "type";
  public static final String RECORD_PROCESSING_ERROR = "recordProcessingError";
  public static final String RECORD_PROCESSING_ERROR_FIELD_MESSAGE = "errorMessage";
  public static final String RECORD_PROCESSING_ERROR_FIELD_RECORD = "record";
  public static final String RECORD_PROCESSING_ERROR_FIELD_CAUSE = "cause";

  private static final Schema ERROR =
      SchemaBuilder.struct()
          .field(RECORD_PROCESSING_ERROR_FIELD_MESSAGE, Schema.OPTIONAL_STRING_SCHEMA)
          .field(RECORD_PROCESSING_ERROR_FIELD_RECORD, Schema.OPTIONAL_STRING_SCHEMA)
          .field(
              RECORD_PROCESSING_ERROR_FIELD_CAUSE,
              SchemaBuilder.array(Schema.OPTIONAL_STRING_SCHEMA).optional().build())
          .optional()
          .build();

  public static final Schema PROCESSING_LOG_SCHEMA =
      SchemaBuilder.struct()
          .field(TYPE, Schema.OPTIONAL_INT32_SCHEMA)
          .field(RECORD_PROCESSING_ERROR, ERROR)
          .build();

  private ProcessingLogMessageSchema() {}

  public enum MessageType {
    RECORD_PROCESSING_ERROR;

    public int getTypeId() {
      return 1;
    }

    public Schema getSchema() {
      return ERROR;
    }
  }
}
