package pyudf;

import io.confluent.common.logging.StructuredLogger;
import io.confluent.common.logging.StructuredLoggerFactory;
import io.confluent.ksql.function.udaf.Udaf;
import io.confluent.ksql.logging.processing.ProcessingLogMessageSchema;
import io.confluent.ksql.logging.processing.ProcessingLogMessageSchema.MessageType;
import java.util.List;
import java.util.function.Function;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.Struct;

/**
 * An aggregate whose methods are Python callables, and whose state is text.
 *
 * <p>If Python raises an exception, the row is skipped, and the exception is written to the processing
 * log (logger {@code processing.udaf.NAME}). If this class threw the exception, the query would fail on
 * the same record forever.
 */
public final class PythonUdaf<I, O> implements Udaf<I, String, O> {

  private static final StructuredLoggerFactory LOGGERS = new StructuredLoggerFactory("processing");

  private final StructuredLogger logger;
  private final Function<I, Object[]> columns;
  private final Schema result;
  private final PythonFunction initialize;
  private final PythonFunction accumulate;
  private final PythonFunction merge;
  private final PythonFunction finish;

  /**
   * Creates the aggregate, once per query.
   *
   * @param columns converts a row to Python's arguments, with the first two places free for the state;
   *     null for a row to skip
   * @param constants further arguments of {@code bind}, including the literal ones
   */
  public PythonUdaf(
      final String module,
      final String name,
      final Function<I, Object[]> columns,
      final Schema result,
      final Object... constants) {
    this.logger = LOGGERS.getLogger("udaf." + name);
    this.columns = columns;
    this.result = result;
    this.initialize = bound(module, name, "initialize", constants);
    this.accumulate = bound(module, name, "accumulate", constants);
    this.merge = bound(module, name, "merge", constants);
    this.finish = bound(module, name, "finish", constants);
  }

  private static PythonFunction bound(
      final String module, final String name, final String method, final Object[] constants) {
    final Object[] arguments = new Object[constants.length + 2];
    arguments[0] = name;
    arguments[1] = method;
    System.arraycopy(constants, 0, arguments, 2, constants.length);
    return new PythonFunction(module, arguments);
  }

  @Override
  public String initialize() {
    try {
      return (String) initialize.call();
    } catch (final RuntimeException e) {
      throw new Error(e.getMessage(), e); // no row caused this, so none may be skipped
    }
  }

  @Override
  public String aggregate(final I row, final String state) {
    final States states = accumulate.states();
    int place = -1;
    try {
      final Object[] arguments = columns.apply(row);
      if (arguments == null) {
        return state;
      }
      place = states.find(state);
      if (place < 0) {
        place = states.free(state);
        arguments[0] = state;
      }
      arguments[1] = place;
      final String changed = (String) accumulate.call(arguments);
      final String after = changed == null ? state : changed;
      states.keep(place, after);
      return after;
    } catch (final RuntimeException e) {
      states.forget(place); // Python may have changed the state partly
      log(e, String.valueOf(row));
      return state;
    }
  }

  @Override
  public String merge(final String older, final String newer) {
    try {
      return (String) merge.call(older, newer);
    } catch (final RuntimeException e) {
      log(e, null);
      return older;
    }
  }

  @Override
  @SuppressWarnings("unchecked")
  public O map(final String state) {
    try {
      final int place = accumulate.states().find(state);
      return (O) Values.result(finish.call(place < 0 ? state : null, place), result);
    } catch (final RuntimeException e) {
      log(e, null);
      return null;
    }
  }

  private void log(final RuntimeException e, final String row) {
    final Struct error =
        new Struct(MessageType.RECORD_PROCESSING_ERROR.getSchema())
            .put(ProcessingLogMessageSchema.RECORD_PROCESSING_ERROR_FIELD_MESSAGE, e.getMessage())
            .put(ProcessingLogMessageSchema.RECORD_PROCESSING_ERROR_FIELD_RECORD, row)
            .put(
                ProcessingLogMessageSchema.RECORD_PROCESSING_ERROR_FIELD_CAUSE,
                List.of(String.valueOf(e.getMessage())));
    final Struct entry =
        new Struct(ProcessingLogMessageSchema.PROCESSING_LOG_SCHEMA)
            .put(
                ProcessingLogMessageSchema.TYPE, MessageType.RECORD_PROCESSING_ERROR.getTypeId())
            .put(ProcessingLogMessageSchema.RECORD_PROCESSING_ERROR, error);
    logger.error(new SchemaAndValue(ProcessingLogMessageSchema.PROCESSING_LOG_SCHEMA, entry));
  }
}
