package io.confluent.ksql.function.udaf;

public interface Udaf<I, A, O> {

  A initialize();

  A aggregate(I row, A state);

  A merge(A older, A newer);

  O map(A state);
}
