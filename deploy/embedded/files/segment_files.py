"""The files of segments on the disk: opened within the folder of all topics, and their states."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from opensea_metrics.deploy.embedded.files.compaction import covering
from opensea_metrics.deploy.embedded.files.segments import Segment
from opensea_metrics.producer.archive import listing, paths


def state(root: Path, topic: str, segment: Segment) -> int:
    """A number for the state of a segment's file. If it has changed, reading the file again may succeed.

    The number is negative if the file cannot be read.
    """
    try:
        with opened_within(root, str(root / topic / segment.path), {}) as (descriptor, _):
            os.pread(descriptor, 1, 0)
            return state_of(os.fstat(descriptor))
    except OSError as error:
        return -(error.errno or errno.EIO)


def state_of(status: os.stat_result) -> int:
    """A number for the state of a file. It is odd as long as the file may be incomplete."""
    is_growing = not listing.is_settled(status.st_mtime)
    signs = hash((status.st_size, status.st_mtime_ns, status.st_ino))
    return (signs & 0x3FFF_FFFF_FFFF_FFFF) << 1 | is_growing


@contextmanager
def opened_within(root: Path, path: str, folders: dict[str, str | None]) -> Iterator[tuple[int, bool]]:
    """Open a file that is within ``root`` after links are followed.

    Yields a descriptor, and whether it belongs to the file itself. If the file is gone, it belongs to the compacted
    file that has the file's records. ``folders`` remembers why a folder is refused. Raises OSError.
    """
    folder = os.path.dirname(path)
    if folder not in folders:
        folders[folder] = paths.outside(root, folder)
    if reason := folders[folder] or (paths.outside(root, path) if os.path.islink(path) else None):
        raise OSError(errno.EXDEV, reason)
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(paths.opened(path)), True
        except FileNotFoundError:
            if (other := covering(path)) is None or os.path.islink(other):
                raise
            opened = stack.enter_context(paths.opened(other)), False
        yield opened
