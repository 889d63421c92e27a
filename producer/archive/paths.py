"""Paths of a local disk: as text, where they lead, and opened."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from opensea_metrics.core.errors import os_reason

NOT_TEXT = "the name is not UTF-8; rename it"
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def shown(path: str) -> str:
    """A path as text that can be stored and printed, also if it is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_text(name: str) -> bool:
    """Whether a name is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_in(path: str, folder: str) -> bool:
    """Whether a path is a folder, or within it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def outside(root: str | os.PathLike[str], path: str | os.PathLike[str]) -> str | None:
    """The reason for refusing a path that leads out of the folder of all topics over a link, or None."""
    if is_in(target := os.path.realpath(path), os.path.realpath(root)):
        return None
    return f"a link leads to {shown(target)}, outside of {shown(str(root))}; move the data there"


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor of a regular file.

    Raises OSError if the file cannot be opened or is something else, such as a FIFO, for which it does not wait.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, not_a_file(mode))
        yield descriptor
    finally:
        os.close(descriptor)


def not_a_file(mode: int) -> str:
    """The reason for refusing something of this mode, which is no regular file."""
    return f"it is {_KINDS[stat.S_IFMT(mode)]}, not a file"


def cannot(verb: str, error: OSError) -> str:
    """The reason of what the system refuses."""
    return f"cannot {verb}: {os_reason(error)}"
