"""The command line. Each module holds related verbs; importing it registers them."""

import atexit
import gc
import os

# Modules and statements are many small objects that stay alive. Collecting garbage among them takes a tenth of
# the time of imports and a fifth of the time of planning. A last collection takes 0.1 s at every exit.
gc.set_threshold(100_000, 20, 20)
atexit.register(gc.freeze)
# numpy is used for bytes only. Its BLAS would start a thread per processor, which costs each command 0.1 s of CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from opensea_metrics.deploy.cli.app import main, whole_app  # noqa: E402

__all__ = ["main", "whole_app"]
