package pyudf;

import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import jep.JepConfig;
import jep.JepException;
import jep.MainInterpreter;
import jep.PyConfig;
import jep.SharedInterpreter;
import jep.python.PyCallable;

/**
 * A Python callable, the result of {@code module.bind(arguments…)}, in CPython inside this process.
 *
 * <p>The first call starts Python from the virtual environment that the system property {@code
 * pyudf.venv} (or the variable PYUDF_VENV) names. {@code pyudf.path} (PYUDF_PATH) lists further
 * directories of modules, separated as in a class path. Each calling thread has its own interpreter over
 * the same modules. Interpreters live as long as the process.
 */
public final class PythonFunction {

  private static final Map<List<Object>, Integer> SLOTS = new ConcurrentHashMap<>();
  private static final AtomicInteger FREE_SLOT = new AtomicInteger();
  private static final ThreadLocal<Session> SESSION = ThreadLocal.withInitial(Session::new);

  private final String module;
  private final Object[] arguments;
  private final int slot;

  public PythonFunction(final String module, final Object... arguments) {
    this.module = module;
    this.arguments = arguments;
    final Object[] key = Arrays.copyOf(arguments, arguments.length + 1);
    key[arguments.length] = module;
    slot = SLOTS.computeIfAbsent(Arrays.asList(key), unused -> FREE_SLOT.getAndIncrement());
  }

  /**
   * Calls the function.
   *
   * @throws RuntimeException if Python raises; the message is the traceback's last line
   * @throws Error if Python cannot be started, or the function cannot be loaded. Such a failure is not
   *     caused by the record, so ksqlDB must not skip the record
   */
  public Object call(final Object... values) {
    final PyCallable callable = SESSION.get().callable(this);
    try {
      return callable.call(values);
    } catch (final JepException e) {
      throw new RuntimeException(lastLine(e));
    }
  }

  /** The states that Python keeps for the calling thread, for the function of an aggregate. */
  States states() {
    return SESSION.get().states(slot);
  }

  static String lastLine(final JepException e) {
    final String message = String.valueOf(e.getMessage());
    // "<class 'ValueError'>: no number" → "ValueError: no number"
    return message.replaceFirst("^<class '(?:builtins\\.)?([^']*)'>", "$1");
  }

  private static String setting(final String name) {
    final String variable = System.getenv(name.toUpperCase().replace('.', '_'));
    return System.getProperty(name, variable == null ? "" : variable);
  }

  private static final class Python {
    static {
      final String venv = setting("pyudf.venv");
      if (!venv.isEmpty()) {
        MainInterpreter.setJepLibraryPath(library(Path.of(venv)).toString());
        MainInterpreter.setInitParams(
            new PyConfig().setProgramName(venv + "/bin/python").setUseEnvironment(false));
      }
      final JepConfig config = new JepConfig();
      for (final String path : setting("pyudf.path").split(java.io.File.pathSeparator)) {
        if (!path.isEmpty()) {
          config.addIncludePaths(path);
        }
      }
      SharedInterpreter.setConfig(config);
    }

    private static Path library(final Path venv) {
      try (DirectoryStream<Path> found = Files.newDirectoryStream(venv.resolve("lib"), "python3*")) {
        for (final Path python : found) {
          final Path library = python.resolve("site-packages/jep/libjep.so");
          if (Files.exists(library)) {
            return library;
          }
        }
      } catch (final java.io.IOException e) {
        throw new Error("pyudf.venv is no virtual environment: " + venv, e);
      }
      throw new Error("there is no Jep in the virtual environment " + venv);
    }

    static SharedInterpreter interpreter() {
      return new SharedInterpreter();
    }
  }

  /** A thread's interpreter, and the callables it has looked up, by slot. */
  private static final class Session {
    private final SharedInterpreter interpreter = Python.interpreter();
    private PyCallable[] callables = new PyCallable[16];
    private States[] states = new States[16];

    States states(final int slot) {
      if (slot >= states.length) {
        states = Arrays.copyOf(states, 2 * slot);
      }
      if (states[slot] == null) {
        states[slot] = new States();
      }
      return states[slot];
    }

    PyCallable callable(final PythonFunction function) {
      if (function.slot >= callables.length) {
        callables = Arrays.copyOf(callables, 2 * function.slot);
      }
      PyCallable found = callables[function.slot];
      if (found == null) {
        found = bind(function);
        callables[function.slot] = found;
      }
      return found;
    }

    private PyCallable bind(final PythonFunction function) {
      try {
        interpreter.exec("import importlib");
        final PyCallable bind =
            interpreter.getValue(
                "importlib.import_module('" + function.module + "').bind", PyCallable.class);
        return bind.callAs(PyCallable.class, function.arguments);
      } catch (final JepException e) {
        final String what = Arrays.toString(function.arguments);
        throw new Error("Python function " + what + " cannot be loaded: " + lastLine(e), e);
      }
    }
  }
}
