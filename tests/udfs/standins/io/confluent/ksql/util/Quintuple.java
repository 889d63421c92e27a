package io.confluent.ksql.util;

public class Quintuple<A, B, C, D, E> {

  private final A a;
  private final B b;
  private final C c;
  private final D d;
  private final E e;

  public Quintuple(final A a, final B b, final C c, final D d, final E e) {
    this.a = a;
    this.b = b;
    this.c = c;
    this.d = d;
    this.e = e;
  }

  public A getFirst() {
    return a;
  }

  public B getSecond() {
    return b;
  }

  public C getThird() {
    return c;
  }

  public D getFourth() {
    return d;
  }

  public E getFifth() {
    return e;
  }
}
