"""A lock, so that only one compaction of an archive runs at a time."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from opensea_metrics.core.errors import os_reason
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.upkeep.store import CompactError

NAME = ".compact.lock"
RENEW_SECONDS = 30.0
STALE_SECONDS = 600.0


class Lock:
    """A lock that is held unless ``lost`` says how it was lost."""

    def __init__(self) -> None:
        self.lost: str | None = None

    def check(self) -> None:
        """Raises CompactError if the lock is no longer held."""
        if self.lost is not None:
            raise CompactError(self.lost)


@contextmanager
def locked(source: Archive) -> Iterator[Lock]:
    """Hold the archive's lock. Raises CompactError if another compaction does.

    On a disk, it is a lock of the kernel (flock), which ends with the process. In a bucket, it is an object that is
    created only if none exists (``If-None-Match: *``). The holder renews it every RENEW_SECONDS. If it was not
    renewed for STALE_SECONDS, its process has ended, and the next compaction takes it over. Some servers may
    ignore the condition, so a compaction that reads another owner's name in the object gives up.
    """
    with ExitStack() as stack:
        path = f"{source.root}/{NAME}"
        lock = Lock()
        stack.enter_context(
            _on_disk(path) if source.s3 is None else _in_bucket(source.fs, path, lock)
        )
        yield lock


@contextmanager
def _on_disk(path: str) -> Iterator[None]:
    try:
        file = open(path, "wb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CompactError(f"Cannot write {path}: {os_reason(error)}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CompactError(f"Another compaction holds {path}. Wait until it is done.") from None
        yield


@contextmanager
def _in_bucket(fs: Any, path: str, lock: Lock) -> Iterator[None]:
    owner = f"{socket.gethostname()} process {os.getpid()} {os.urandom(8).hex()}".encode()
    _create(fs, path, owner)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            try:
                if fs.cat_file(path) != owner:
                    lock.lost = f"Another compaction has taken over {path}, so this one ends."
                    return
                fs.pipe_file(path, owner)
            except FileNotFoundError:
                lock.lost = f"Somebody removed {path}, so this compaction ends."
                return
            except OSError:
                continue  # the next renewal may work; after ten minutes without one, the lock is stale

    thread = threading.Thread(target=renew, name="renew compact.lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        try:
            if fs.cat_file(path) == owner:
                fs.rm_file(path)
        except OSError:
            pass  # the lock becomes stale


def _create(fs: Any, path: str, owner: bytes) -> None:
    for _ in range(2):
        try:
            fs.pipe_file(path, owner, mode="create")
            if fs.cat_file(path) != owner:
                raise FileExistsError
            return
        except FileExistsError:
            _clear_if_stale(fs, path)
        except OSError as error:
            reason = os_reason(error)
            raise CompactError(f"Cannot write {path}: {reason}") from error
    raise CompactError(f"Another compaction has just taken {path}. Wait until it is done.")


def _clear_if_stale(fs: Any, path: str) -> None:
    """Remove a stale lock. Raises CompactError if another compaction holds the lock."""
    try:
        age = (datetime.now(UTC) - fs.info(path)["LastModified"]).total_seconds()
        holder = fs.cat_file(path).decode("utf-8", "replace").rpartition(" ")[0]
        if age < STALE_SECONDS:
            raise CompactError(
                f"Another compaction holds {path}: {holder}, seen {max(age, 0):.0f} s ago. Wait until it "
                f"is done. If it was killed, the lock ends {STALE_SECONDS:.0f} s later."
            )
        fs.rm_file(path)
    except FileNotFoundError:
        pass
