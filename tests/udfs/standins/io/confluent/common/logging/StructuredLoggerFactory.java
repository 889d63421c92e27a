package io.confluent.common.logging;

/** Prints to the standard error, for tests to look at. */
public final class StructuredLoggerFactory {

  private final String prefix;

  public StructuredLoggerFactory(final String prefix) {
    this.prefix = prefix;
  }

  public StructuredLogger getLogger(final String name) {
    return message -> System.err.println(prefix + "." + name + " " + message.value());
  }
}
