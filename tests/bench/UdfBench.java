import io.confluent.ksql.function.udaf.Udaf;
import io.confluent.ksql.util.Triple;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import pyudf.PythonFunction;
import pyudf.functions.TokenAmount;
import pyudf.functions.TokenAmountDouble;
import pyudf.functions.TopByKey;

/** Times of calls to the generated classes: the fastest tenth of the rounds, and the median round. */
public final class UdfBench {

  private static final ThreadMXBean CPU = ManagementFactory.getThreadMXBean();

  /** Calls per round. Rounds are short, so that other work on the machine disturbs few of them. */
  private static final int ROUND = 1_000;

  private interface Call {
    Object at(int i) throws Exception;
  }

  private UdfBench() {}

  @SuppressWarnings("unchecked")
  public static void main(final String[] arguments) throws Exception {
    final int count = Integer.parseInt(arguments[0]);
    final int many = Integer.parseInt(arguments[1]);
    // The cost of a call if Python does nothing: the same arguments, a constant result.
    final PythonFunction bare = new PythonFunction("tests.bench.bare", "scalar");
    final PythonFunction bareUpdate = new PythonFunction("tests.bench.bare", "update");
    final PythonFunction bareChange = new PythonFunction("tests.bench.bare", "change");

    final long start = System.nanoTime();
    bare.call("1", 18);
    final long started = System.nanoTime();
    final TokenAmountDouble amount = new TokenAmountDouble();
    amount.call("1", 18);
    final long ready = System.nanoTime();
    System.out.printf("start of Python alone [s]\t%.3f%n", (started - start) / 1e9);
    System.out.printf("start with the functions [s]\t%.3f%n", (ready - start) / 1e9);

    final String[] prices = new String[1024];
    for (int i = 0; i < prices.length; i++) {
      prices[i] = Long.toString(10_000_000_000_000_000L * (i + 1) + 123_456_789L * i);
    }
    final TokenAmount exact = new TokenAmount();
    time("bare call (STRING, INTEGER) -> DOUBLE", count, i -> bare.call(prices[i & 1023], 18));
    time("token_amount (DECIMAL)", count, i -> exact.call(prices[i & 1023], 18));
    time("token_amount_double", count, i -> amount.call(prices[i & 1023], 18));

    final Method factory = TopByKey.class.getMethod("of1", int.class);
    final Udaf<Triple<String, Double, String>, String, Object> top =
        (Udaf<Triple<String, Double, String>, String, Object>) factory.invoke(null, 10);
    final Triple<String, Double, String>[] rows = new Triple[1024];
    for (int i = 0; i < rows.length; i++) {
      final String detail = "{\"SALES\":" + i + ",\"FLOOR_USD\":12.5,\"AVG_USD\":99.25}";
      rows[i] = new Triple<>("collection-" + (i * 37 % 200), (double) (i * 31 % 1000), detail);
    }
    final String[] state = {top.initialize()};
    for (final Triple<String, Double, String> row : rows) {
      state[0] = top.aggregate(row, state[0]);
    }
    final String full = state[0];
    time("bare call (place, key, value, detail) -> None", count, i -> {
      final Triple<String, Double, String> row = rows[i & 1023];
      return bareUpdate.call(null, 7, row.getLeft(), row.getMiddle(), row.getRight());
    });
    time("bare call (state, key, value, detail) -> state", count, i -> {
      final Triple<String, Double, String> row = rows[i & 1023];
      return bareChange.call(full, row.getLeft(), row.getMiddle(), row.getRight());
    });
    final double[] next = {1000};
    time("top_by_key update, n = 10", count, i -> {
      final Triple<String, Double, String> row = rows[i & 1023];
      next[0] += 1;
      // Growing sums: one row in four enters the list.
      final double value = (i & 3) == 0 ? next[0] : 0.5;
      state[0] = top.aggregate(new Triple<>(row.getLeft(), value, row.getRight()), state[0]);
      return state[0];
    });
    time("top_by_key result, n = 10", count / 4, i -> top.map(full));

    if (many > 0) {
      final long before = resident();
      final long began = System.nanoTime();
      final int threads = 4;
      final CountDownLatch left = new CountDownLatch(threads);
      final long[] middle = {0};
      for (int t = 0; t < threads; t++) {
        final int first = t;
        new Thread(() -> {
          try {
            String mine = top.initialize();
            for (int i = 0; i < many / threads; i++) {
              if (i % 10 == 0) {
                mine = top.aggregate(rows[i & 1023], mine);
              } else {
                amount.call(prices[i & 1023], 18);
              }
              if (first == 0 && i == many / threads / 2) {
                middle[0] = resident();
              }
            }
          } finally {
            left.countDown();
          }
        }).start();
      }
      left.await();
      final double seconds = (System.nanoTime() - began) / 1e9;
      System.out.printf("4 threads, %d calls [us a call]\t%.2f%n", many, seconds * 1e6 / many);
      System.out.printf(
          "resident memory before, half-way, after [MB]\t%d %d %d%n", before, middle[0], resident());
    }
    System.exit(0);
  }

  private static void time(final String name, final int count, final Call call) throws Exception {
    for (int i = 0; i < count / 4; i++) {
      call.at(i);
    }
    final double[] rounds = new double[count / ROUND];
    for (int round = 0; round < rounds.length; round++) {
      final long start = CPU.getCurrentThreadCpuTime();
      for (int i = 0; i < ROUND; i++) {
        call.at(i);
      }
      rounds[round] = (CPU.getCurrentThreadCpuTime() - start) / 1e3 / ROUND;
    }
    java.util.Arrays.sort(rounds);
    System.out.printf(
        "%s [us]\t%.2f (median %.2f)%n", name, rounds[rounds.length / 10], rounds[rounds.length / 2]);
  }

  private static long resident() {
    try {
      for (final String line : Files.readAllLines(Path.of("/proc/self/status"))) {
        if (line.startsWith("VmRSS:")) {
          return Long.parseLong(line.replaceAll("[^0-9]", "")) / 1024;
        }
      }
    } catch (final java.io.IOException e) {
      return -1;
    }
    return -1;
  }
}
