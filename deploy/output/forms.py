"""The forms in which rows and reports are written: ``--format``, ``--out`` and ``--json``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from opensea_metrics.core.errors import OpenSeaMetricsError


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
