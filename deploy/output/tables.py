"""Values as text, and rows as tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text  # for types

from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import one_line

_ANY_WIDTH = 1_000_000  # characters: a table's own width is measured without the limit of a screen


def cell(value: Any) -> str:
    """A value on one line."""
    if value is None:
        return "NULL"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_table(names: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a list as a table. All columns may be narrow except the first, which names a row."""
    table = _table(names, _texts(rows), title)
    table.columns[0].no_wrap = True
    console().print(table)


def print_rows(names: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print data as a table, or row by row if a table would cut names and numbers in two."""
    to, texts = console(), _texts(rows)
    table = _table(names, texts, title)
    needed = Measurement.get(to, to.options.update(max_width=_ANY_WIDTH), table).minimum
    if needed <= to.width or not texts:
        to.print(table)
        return
    for number, row in enumerate(texts, 1):
        to.rule(shown(one_line(f"{title}, row {number}" if title else f"row {number}")), align="left")
        fields = Table.grid(padding=(0, 2))
        fields.add_column(no_wrap=True)
        fields.add_column(overflow="fold")
        for name, value in zip(names, row, strict=True):
            fields.add_row(shown(one_line(name), "bold"), value)
        to.print(fields)


def _table(names: Sequence[str], rows: Sequence[Sequence[Text]], title: str | None) -> Table:
    table = Table(title=None if title is None else shown(one_line(title)), title_justify="left")
    for name in names:
        table.add_column(shown(one_line(name)), overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _texts(rows: Iterable[Sequence[Any]]) -> list[list[Text]]:
    return [[_text(value) for value in row] for row in rows]


def _text(value: Any) -> Text:
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return shown("\n".join(one_line(_struct(item)) for item in value))
    return shown(one_line(_struct(value)), "dim" if value is None else "")


def _struct(value: Any) -> str:
    """A STRUCT in the form of ksqlDB's own command line. JSON would escape nested JSON once more."""
    if not isinstance(value, dict):
        return cell(value)
    return "{" + ", ".join(f"{name}={_struct(inner)}" for name, inner in value.items()) + "}"
