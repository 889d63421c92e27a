package io.confluent.ksql.util;

public class Pair<A, B> {

  private final A a;
  private final B b;

  public Pair(final A a, final B b) {
    this.a = a;
    this.b = b;
  }

  public A getLeft() {
    return a;
  }

  public B getRight() {
    return b;
  }
}
