package pyudf;

/**
 * The states that Python keeps, with their places: the most recent states of a thread.
 *
 * <p>States are looked up by their text, so a place is correct even if the store has changed the state.
 */
final class States {

  private static final int PLACES = 32;
  /** Longer states are not kept, so that Python's memory stays small. */
  private static final int LONGEST = 200_000;

  private static final int SAMPLES = 16;

  private final String[] texts = new String[PLACES];
  private final byte[] byPrint = new byte[256];
  private int last;

  /** The place of a state, or -1. */
  int find(final String text) {
    final int place = byPrint[print(text)];
    return text.equals(texts[place]) ? place : -1;
  }

  /** Frees the place of the oldest state and returns it. -1 if the text is too long to keep. */
  int free(final String text) {
    if (text.length() > LONGEST) {
      return -1;
    }
    last = (last + 1) % PLACES;
    texts[last] = null;
    return last;
  }

  void keep(final int place, final String text) {
    if (place >= 0) {
      texts[place] = text;
      byPrint[print(text)] = (byte) place;
    }
  }

  void forget(final int place) {
    if (place >= 0) {
      texts[place] = null;
    }
  }

  /** A hash of some characters only, because texts are long and are compared in full anyway. */
  private static int print(final String text) {
    final int length = text.length();
    int print = length;
    final int step = Math.max(1, length / SAMPLES);
    for (int i = length - 1; i >= 0; i -= step) {
      print = 31 * print + text.charAt(i);
    }
    return (print ^ print >>> 8 ^ print >>> 16) & 255;
  }
}
