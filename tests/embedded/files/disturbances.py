"""What happens to files while a server has them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.topic import lines

NOT_GZIP = "this file is not gzip, although its name ends with .gz"
"""How the server reports such a file."""


def settled(path: Path) -> Path:
    """Make a file look as if it was written long ago."""
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


class Faulty:
    """Makes functions of ``os`` fail for paths that contain a given text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, text: str, number: int) -> None:
        self.is_on = True
        real = getattr(os, call)

        def failing(path: Any, *arguments: Any, **options: Any) -> Any:
            if self.is_on and text in str(path):
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *arguments, **options)

        monkeypatch.setattr(os, call, failing)


def take_away(path: Path) -> Callable[[], None]:
    hidden = path.with_name(".away")
    path.rename(hidden)

    def put_back() -> None:
        hidden.replace(path)

    return put_back


def make_a_directory(path: Path) -> Callable[[], None]:
    put_back = take_away(path)
    path.mkdir()
    (path / "not.txt").touch()

    def undo() -> None:
        (path / "not.txt").unlink()
        path.rmdir()
        put_back()

    return undo


def make_a_fifo(path: Path) -> Callable[[], None]:
    put_back = take_away(path)
    os.mkfifo(path)
    return put_back


def lead_outside(path: Path) -> Callable[[], None]:
    put_back = take_away(path)
    outside = path.parents[2] / f"outside {path.parent.name}"
    outside.write_bytes(lines("secret"))
    path.symlink_to(outside)
    return put_back
