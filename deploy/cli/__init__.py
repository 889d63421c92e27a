"""The command line. Each module holds related verbs; importing it registers them."""

import atexit
import gc
import os
import sys

# A command creates many small objects that live until its end. Without these settings the collector walks through
# them again and again, and a start takes 1.4 times the CPU time: see tests/bench/start.py.
gc.set_threshold(200_000, 20, 20)
atexit.register(gc.freeze)
# numpy only handles bytes here. Its BLAS would start a thread per processor, which costs each command 0.1 s of CPU
# time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# httpx imports the module of its own command if click and rich are installed. That costs each command that talks to a
# server 0.06 s.
if "httpx" not in sys.modules:
    sys.modules["httpx._main"] = None  # type: ignore[assignment]

from opensea_metrics.deploy.cli.app import main, whole_app  # noqa: E402

__all__ = ["main", "whole_app"]
