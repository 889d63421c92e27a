"""The greatest resident memory of a process."""

from __future__ import annotations

import re
from pathlib import Path


def peak(pid: int | str = "self") -> float:
    """MB. ``ru_maxrss`` is not it: a child begins with its parent's maximum, even when it runs another program."""
    line = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(line[1]) / 1024 if line else 0.0
