package pyudf;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;

/**
 * Converts values between Java and Python.
 *
 * <p>Booleans, whole numbers, doubles and strings are passed unchanged. A DECIMAL is passed as its digits,
 * BYTES as text with one character per byte, and DATE, TIME and TIMESTAMP as milliseconds. ARRAY, MAP and
 * STRUCT are passed as JSON of such values, in which a double that is not finite is text. A STRUCT from
 * Python may also be an array of its fields in order.
 */
public final class Values {

  private static final JsonFactory JSON = new JsonFactory();
  private static final String PRECISION = "connect.decimal.precision";

  private Values() {}

  /** The schema of DECIMAL(precision, scale). */
  public static Schema decimal(final int precision, final int scale) {
    return Decimal.builder(scale).parameter(PRECISION, Integer.toString(precision)).optional().build();
  }

  /** The schema of a STRUCT. The arguments alternate between names and schemas of fields. */
  public static Schema struct(final Object... fields) {
    final SchemaBuilder builder = SchemaBuilder.struct().optional();
    for (int i = 0; i < fields.length; i += 2) {
      builder.field((String) fields[i], (Schema) fields[i + 1]);
    }
    return builder.build();
  }

  /** Converts a value of ksqlDB to the form that Python receives. */
  public static Object argument(final Object value) {
    if (value instanceof List || value instanceof Map || value instanceof Struct) {
      final StringWriter text = new StringWriter();
      try (JsonGenerator out = JSON.createGenerator(text)) {
        write(value, out);
      } catch (final IOException e) {
        throw new UncheckedIOException(e);
      }
      return text.toString();
    }
    return scalar(value);
  }

  private static Object scalar(final Object value) {
    if (value instanceof BigDecimal) {
      return ((BigDecimal) value).toPlainString();
    }
    if (value instanceof ByteBuffer) {
      final ByteBuffer bytes = ((ByteBuffer) value).duplicate();
      return StandardCharsets.ISO_8859_1.decode(bytes).toString();
    }
    return value instanceof java.util.Date ? ((java.util.Date) value).getTime() : value;
  }

  private static void write(final Object value, final JsonGenerator out) throws IOException {
    if (value instanceof List) {
      out.writeStartArray();
      for (final Object item : (List<?>) value) {
        write(item, out);
      }
      out.writeEndArray();
    } else if (value instanceof Map) {
      out.writeStartObject();
      for (final Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
        out.writeFieldName((String) entry.getKey());
        write(entry.getValue(), out);
      }
      out.writeEndObject();
    } else if (value instanceof Struct) {
      out.writeStartObject();
      for (final Field field : ((Struct) value).schema().fields()) {
        out.writeFieldName(field.name());
        write(((Struct) value).get(field), out);
      }
      out.writeEndObject();
    } else {
      writeScalar(scalar(value), out);
    }
  }

  private static void writeScalar(final Object value, final JsonGenerator out) throws IOException {
    if (value == null) {
      out.writeNull();
    } else if (value instanceof Boolean) {
      out.writeBoolean((Boolean) value);
    } else if (value instanceof Double) {
      out.writeNumber((Double) value); // NaN and infinities become strings
    } else if (value instanceof Number) {
      out.writeNumber(((Number) value).longValue());
    } else {
      out.writeString((String) value);
    }
  }

  /**
   * Converts a result of Python to a value of the schema.
   *
   * @throws RuntimeException if the result does not have that type
   */
  public static Object result(final Object value, final Schema schema) {
    if (value == null) {
      return null;
    }
    switch (schema.type()) {
      case ARRAY:
      case MAP:
      case STRUCT:
        try (JsonParser in = JSON.createParser((String) value)) {
          in.nextToken();
          return read(in, schema);
        } catch (final IOException e) {
          throw new UncheckedIOException(e);
        }
      default:
        return scalar(value, schema);
    }
  }

  private static Object scalar(final Object value, final Schema schema) {
    if (schema.name() != null) {
      return logical(value, schema);
    }
    switch (schema.type()) {
      case BOOLEAN:
        return (Boolean) value;
      case INT32:
        return Math.toIntExact((Long) value);
      case INT64:
        return (Long) value;
      case FLOAT64:
        return value instanceof String
            ? Double.valueOf((String) value)
            : (Double) ((Number) value).doubleValue();
      case BYTES:
        return ByteBuffer.wrap(((String) value).getBytes(StandardCharsets.ISO_8859_1));
      default:
        return (String) value;
    }
  }

  private static Object logical(final Object value, final Schema schema) {
    switch (schema.name()) {
      case Decimal.LOGICAL_NAME:
        final int scale = Integer.parseInt(schema.parameters().get(Decimal.SCALE_FIELD));
        final BigDecimal number =
            new BigDecimal((String) value).setScale(scale, RoundingMode.HALF_UP);
        if (number.precision() > Integer.parseInt(schema.parameters().get(PRECISION))) {
          throw new ArithmeticException(value + " has too many digits");
        }
        return number;
      case Date.LOGICAL_NAME:
        return new java.sql.Date((Long) value);
      case Time.LOGICAL_NAME:
        return new java.sql.Time((Long) value);
      default:
        return new java.sql.Timestamp((Long) value);
    }
  }

  private static Object read(final JsonParser in, final Schema schema) throws IOException {
    if (in.currentToken() == JsonToken.VALUE_NULL) {
      return null;
    }
    switch (schema.type()) {
      case ARRAY:
        final List<Object> items = new ArrayList<>();
        while (in.nextToken() != JsonToken.END_ARRAY) {
          items.add(read(in, schema.valueSchema()));
        }
        return items;
      case MAP:
        final Map<String, Object> entries = new LinkedHashMap<>();
        while (in.nextToken() == JsonToken.FIELD_NAME) {
          final String key = in.currentName();
          in.nextToken();
          entries.put(key, read(in, schema.valueSchema()));
        }
        return entries;
      case STRUCT:
        final Struct struct = new Struct(schema);
        final List<Field> fields = schema.fields();
        if (in.currentToken() == JsonToken.START_ARRAY) {
          for (int i = 0; in.nextToken() != JsonToken.END_ARRAY; i++) {
            struct.put(fields.get(i), read(in, fields.get(i).schema()));
          }
          return struct;
        }
        for (int i = 0; in.nextToken() == JsonToken.FIELD_NAME; i++) {
          // Python's names are in lower case, and mostly in order.
          final String name = in.currentName();
          final Field field =
              i < fields.size() && fields.get(i).name().equalsIgnoreCase(name)
                  ? fields.get(i)
                  : schema.field(name.toUpperCase(Locale.ROOT));
          in.nextToken();
          struct.put(field, read(in, field.schema()));
        }
        return struct;
      default:
        return scalar(token(in), schema);
    }
  }

  private static Object token(final JsonParser in) throws IOException {
    switch (in.currentToken()) {
      case VALUE_STRING:
        return in.getText();
      case VALUE_NUMBER_INT:
        return in.getLongValue();
      case VALUE_NUMBER_FLOAT:
        return in.getDoubleValue();
      case VALUE_TRUE:
        return Boolean.TRUE;
      case VALUE_FALSE:
        return Boolean.FALSE;
      default:
        throw new IllegalStateException("unexpected JSON: " + in.currentToken());
    }
  }
}
