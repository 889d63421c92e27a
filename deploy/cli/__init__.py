"""The command line. Each module holds the verbs of one idea; importing it registers them."""

import atexit
import gc
import os

# Modules and statements are many small objects that stay. To look through them again and again is a
# tenth of all imports and a fifth of planning, and to do so a last time 0.1 s of every exit.
gc.set_threshold(100_000, 20, 20)
atexit.register(gc.freeze)
# numpy is used for bytes only; its BLAS would start a thread a processor, 0.1 s of CPU of each command.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from opensea_metrics.deploy.cli.app import main, whole_app  # noqa: E402

__all__ = ["main", "whole_app"]
