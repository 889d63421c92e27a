"""Formats values for people: times in UTC, numbers with thousands separators, top lists as small tables.

:func:`exact_lines` writes values as they are, for pipes, files and ``--raw``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

from rich.cells import cell_len, set_cell_size

from opensea_metrics.deploy.output.plain import exact_text, one_line

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = ("INTEGER", "BIGINT")
_HUGE = 1e15
_NARROWEST = 5  # characters of a text in a small table or a list


@dataclass(frozen=True)
class Look:
    """How a column is shown: its name, ksqlDB's type, and whether a BIGINT is a time in epoch ms."""

    name: str
    type: str = "STRING"
    is_time: bool = False

    @property
    def is_number(self) -> bool:
        """True for numbers, which are aligned to the right."""
        return not self.is_time and (self.type in (*_WHOLE, "DOUBLE") or self.type.startswith("DECIMAL"))

    @property
    def folds(self) -> bool:
        """True for texts, which may wrap."""
        return self.type in ("STRING", "VARCHAR")


def lines(value: Any, look: Look, width: int | None = None) -> list[str]:
    """A value for people. A top list has several lines; texts in it are cut to keep it within ``width``."""
    if value is None:
        return ["NULL"]
    if look.is_time and isinstance(value, int):
        return [time_of(value)]
    if look.type == "TIMESTAMP" and isinstance(value, str):
        return [_iso(value)]
    if look.is_number and isinstance(value, int | float | Decimal):
        return [number(value)]
    if _is_top_list(value):
        return _small_table(value, width)
    return exact_lines(value)


def exact_lines(value: Any) -> list[str]:
    """A value as it is. A list of STRUCTs has a line for each of them."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [one_line(_struct(item)) for item in value]
    return [one_line(_struct(value))]


def time_of(moment: int) -> str:
    """Epoch ms as UTC, such as ``2026-09-15 11:30:00``; milliseconds only if there are any."""
    try:
        read = _EPOCH + timedelta(milliseconds=moment)
    except OverflowError:  # beyond the year 9999
        return str(moment)
    return read.strftime("%Y-%m-%d %H:%M:%S") + (f".{moment % 1000:03}" if moment % 1000 else "")


def number(value: float | Decimal) -> str:
    """A number with thousands separators and only the significant digits.

    >>> [number(value) for value in (1234567, 195185.40426926521, 0.000123456, 0.0, 1.5e20)]
    ['1,234,567', '195,185.40', '0.0001235', '0.00', '1.5e+20']
    """
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(float(value))
    if not math.isfinite(size) or size >= _HUGE:
        return f"{float(value):.4g}"
    if 0 < size < 1:
        digits = min(15, 3 - math.floor(math.log10(size)))
        text = f"{value:.{digits}f}".rstrip("0")
        return text if len(text.partition(".")[2]) > 1 else f"{value:.2f}"
    return f"{value:,.2f}"


def _iso(text: str) -> str:
    day, _, clock = text.partition("T")
    return f"{day} {clock.removesuffix('.000')}"


def _struct(value: Any) -> str:
    """A STRUCT in the form of ksqlDB's own command line. JSON would escape nested JSON once more."""
    if not isinstance(value, dict):
        return exact_text(value)
    return "{" + ", ".join(f"{name}={_struct(inner)}" for name, inner in value.items()) + "}"


def _is_top_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _small_table(entries: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    """STRUCTs as lines with aligned columns. If a text is a JSON object, each of its fields has its own column."""
    rows = [_flat(entry) for entry in entries]
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    columns = [[one_line(name).lower(), *(_entry(row.get(name)) for row in rows)] for name in names]
    numeric = [all(isinstance(row.get(name), int | float | Decimal | None) for row in rows) for name in names]
    widths = [max(map(cell_len, column)) for column in columns]
    if width is not None:
        widths = narrowed(widths, numeric, width - 2 * (len(widths) - 1))
    written = []
    for at in range(len(rows) + 1):
        cells = [
            cut(column[at], size).rjust(size) if is_number else _padded(cut(column[at], size), size)
            for column, size, is_number in zip(columns, widths, numeric, strict=True)
        ]
        written.append("  ".join(cells).rstrip())
    return written


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in entry.items():
        inner = _object(value)
        flat |= {name: value} if inner is None else inner
    return flat


def _object(value: Any) -> dict[str, Any] | None:
    """The object in a JSON text, or None."""
    if not isinstance(value, str) or not value.startswith("{"):
        return None
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _entry(value: Any) -> str:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return number(value)
    return "" if value is None else one_line(_struct(value))


def narrowed(widths: Sequence[int], fixed: Sequence[bool], most: int) -> list[int]:
    """Reduce widths until their sum is at most ``most``, if possible.

    The widest column that is not fixed shrinks first.
    """
    result = list(widths)
    excess = sum(result) - most
    while excess > 0:
        widest = max((at for at in range(len(result)) if not fixed[at]), key=lambda at: result[at], default=None)
        if widest is None or result[widest] <= _NARROWEST:
            break
        result[widest] -= 1
        excess -= 1
    return result


def cut(text: str, size: int) -> str:
    """A text of at most ``size`` characters. A shortened text ends with an ellipsis."""
    return text if cell_len(text) <= size else set_cell_size(text, size - 1).rstrip() + "…"


def _padded(text: str, size: int) -> str:
    return text + " " * (size - cell_len(text))
