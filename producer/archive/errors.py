"""What can be wrong with an archive or with one of its files."""

from __future__ import annotations

from typing import TypeGuard

from opensea_metrics.core.errors import OpenSeaMetricsError


class ArchiveError(OpenSeaMetricsError):
    """The archive cannot be read or written. The message has the path or URL and what to do."""


class Damaged(Exception):
    """A file cannot be read to its end. The text says why. Readers return the records before the damage first."""


class NotGzip(Damaged):
    """The name of a file ends with ``.gz``, but its content is not gzip."""

    def __init__(self) -> None:
        super().__init__("it is not gzip, although its name ends with .gz")


class NoNewline(Damaged):
    """The last line of a plain file has no newline: the file may be cut, or a writer has not finished the line."""

    def __init__(self) -> None:
        super().__init__("its last line has no newline at its end, so the line may be part of a record")


class TextChanged(Exception):
    """The file is not the one that was read or registered before."""


EMPTY = "it is empty (0 bytes)"


def is_of_storage(error: BaseException) -> TypeGuard[Exception]:
    """Whether a disk or bucket caused an error. S3's own errors are not all OSErrors."""
    return isinstance(error, OSError) or type(error).__module__.startswith(("botocore", "aiohttp"))


def reason(error: Exception) -> str:
    """What went wrong, in one line without keys: the words of the system or of S3."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if isinstance(response, dict) and "Error" in response:
        details = response["Error"]
        return f"{details.get('Code')}: {details.get('Message')}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}".splitlines()[0]
