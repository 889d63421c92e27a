package io.confluent.ksql.util;

public class Triple<A, B, C> {

  private final A a;
  private final B b;
  private final C c;

  public Triple(final A a, final B b, final C c) {
    this.a = a;
    this.b = b;
    this.c = c;
  }

  public A getLeft() {
    return a;
  }

  public B getMiddle() {
    return b;
  }

  public C getRight() {
    return c;
  }
}
