"""Rows on a screen or in a pipe, and lists as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.table import Table

from opensea_metrics.deploy.output import grid, readable
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import exact_text, one_line
from opensea_metrics.deploy.output.readable import Look

_ANY_WIDTH = 1_000_000  # characters


def print_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a list as a table. All columns may shrink except the first, which names the row."""
    table = Table()
    for name in names:
        table.add_column(shown(one_line(name)), overflow="fold")
    for row in rows:
        table.add_row(*(shown(one_line(exact_text(value)), "dim" if value is None else "") for value in row))
    table.columns[0].no_wrap = True
    console().print(table)


def print_list(names: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    """Print a list for people, one line for each row. Cells are cut to fit a terminal, except those of the first
    column."""
    to = console()
    columns = [[one_line(cell) for cell in column] for column in zip(names, *rows, strict=True)]
    if to.is_terminal:
        widths = [max(map(cell_len, column)) for column in columns]
        fixed = [at == 0 for at in range(len(columns))]
        widths = readable.narrowed(widths, fixed, to.width - 3 * len(columns) - 1)
        sized = zip(columns, widths, strict=True)
        columns = [[readable.cut(cell, width) for cell in column] for column, width in sized]
    cells = [[[cell] for cell in row] for row in list(zip(*columns, strict=True))[1:]]
    heads = [column[0] for column in columns]
    no = [False] * len(columns)
    _print_lines(grid.table(heads, cells, no, no, _ANY_WIDTH) or [], title)


def print_rows(
    looks: Sequence[Look],
    rows: Iterable[Sequence[Any]],
    title: str | None = None,
    *,
    exact: bool | None = None,
    vertical: bool = False,
) -> None:
    """Print data as a table. Prints row by row with ``vertical``, or if a table would break names and numbers.

    Values are ``exact`` in a pipe and readable on a terminal, unless the caller decides.
    """
    to = console()
    exact = not to.is_terminal if exact is None else exact
    rows = list(rows)
    cells = [_cells(looks, row, exact, None) for row in rows]
    right = [look.is_number and not exact for look in looks]
    folds = [exact or look.folds for look in looks]
    names = [one_line(look.name) for look in looks]
    written = None if vertical and rows else grid.table(names, cells, right, folds, to.width)
    if written is None:
        for number, row in enumerate(rows, 1):
            print_record(looks, row, number, exact, title)
        return
    _print_lines(written, title)


def _print_lines(table: Sequence[str], title: str | None) -> None:
    """Print the lines of a table, of which the second is the header."""
    out = shown("").append(shown(f"{one_line(title)}\n" if title else "", "italic"))
    for at, line in enumerate(table):
        out.append(shown(f"{line}\n", "bold" if at == 1 else ""))
    console().print(out, soft_wrap=True, end="")


def print_record(looks: Sequence[Look], row: Sequence[Any], number: int, exact: bool, title: str | None = None) -> None:
    """Print one row, with a line for each column."""
    to = console()
    names = [one_line(look.name) for look in looks]
    cells = _cells(looks, row, exact, to.width - max(map(cell_len, names), default=0) - 2)
    heading = f"{title}, row {number}" if title else f"row {number}"
    out = shown("").append(shown(f"{grid.heading(one_line(heading), to.width)}\n", "green"))
    out.append(shown("".join(f"{line}\n" for line in grid.record(names, cells, to.width))))
    to.print(out, soft_wrap=True, end="")


def _cells(looks: Sequence[Look], row: Sequence[Any], exact: bool, width: int | None) -> list[list[str]]:
    return [
        readable.exact_lines(value) if exact else readable.lines(value, look, width)
        for value, look in zip(row, looks, strict=True)
    ]
