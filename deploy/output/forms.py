"""The forms of rows and reports, and the files that have them: ``--format``, ``--out`` and ``--json``."""

from __future__ import annotations

import csv
import io
import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy.output.plain import exact_text, json_text, write_line


class Form(StrEnum):
    """The form in which rows are shown or written."""

    TABLE = "table"
    VERTICAL = "vertical"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


_SUFFIXES = {".csv": Form.CSV, ".json": Form.JSON, ".ndjson": Form.JSON, ".jsonl": Form.JSON, ".parquet": Form.PARQUET}


class OutputRefused(OpenSeaMetricsError):
    """Rows cannot be written in this form or to this place. The message says what to choose."""


@dataclass(frozen=True)
class ReportView:
    """The form of a report, and the file to write it to. Without ``out``, the report goes to stdout."""

    form: Form
    out: Path | None = None


def form_for(form: Form | None, out: Path | None) -> Form:
    """The chosen form; else the form of the file's suffix; else a table.

    Raises OutputRefused for Parquet on a terminal.
    """
    chosen = form or (_SUFFIXES.get(out.suffix.lower()) if out else None) or Form.TABLE
    if chosen is Form.PARQUET and out is None:
        raise OutputRefused("Parquet is not text, so it cannot be printed\n  hint: name a file: --out FILE.parquet")
    return chosen


@contextmanager
def redirected(out: Path | None) -> Iterator[None]:
    """Send stdout to a file within the block. The file appears when the block ends without an error.

    ``None``: nothing changes. Raises OSError.
    """
    if out is None:
        yield
        return
    with appearing(out) as hidden, open(hidden, "w", encoding="utf-8", newline="") as file:
        before, sys.stdout = sys.stdout, file
        try:
            yield
        finally:
            sys.stdout = before


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A hidden file that gets its name when the block ends, or when Ctrl-C ends it."""
    hidden = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        try:
            yield hidden
        except KeyboardInterrupt:
            if hidden.exists():
                os.replace(hidden, out)
            raise
        os.replace(hidden, out)
    finally:
        hidden.unlink(missing_ok=True)


def write_json(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Print one JSON object per line, as rows arrive. Returns the number of rows."""
    count = 0
    for row in rows:
        write_line(json_text(dict(zip(names, row, strict=True))))
        count += 1
    return count


def write_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Print a header and one line per row, as rows arrive. NULL is empty; lists and STRUCTs are JSON.

    Returns the number of rows.
    """
    write_line(_csv_line(names))
    count = 0
    for row in rows:
        write_line(_csv_line(["" if value is None else exact_text(value) for value in row]))
        count += 1
    return count


def _csv_line(values: Sequence[str]) -> str:
    text: TextIO = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    text.seek(0)
    return text.read()
