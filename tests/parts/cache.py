"""A cache for files that tests fetch or build once: ``$XDG_CACHE_HOME/opensea-metrics-tests``."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` of the cache. If it does not exist, ``make`` fills an empty folder.

    One process fills it while the others wait. If ``make`` raises, no folder is left.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = cache / "opensea-metrics-tests"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / name
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        making = root / f".{name}-{uuid.uuid4().hex}"
        making.mkdir()
        try:
            make(making)
            making.rename(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    return folder
