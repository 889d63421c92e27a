"""Rows of queries, and the replies to SHOW, DESCRIBE and EXPLAIN."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.table import Table

from opensea_metrics.deploy.output import readable
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import exact_text, one_line, say, say_json
from opensea_metrics.deploy.output.readable import Look
from opensea_metrics.deploy.output.tables import print_list, print_record, print_rows
from opensea_metrics.deploy.replies import Rows
from opensea_metrics.deploy.reply_columns import ServerColumn, type_text

_WIDTH = 14  # characters: as wide as usual values
_WIDEST = 48
NOISE = ("@type", "statementText", "sinkKafkaTopics", "statusCount", "queryType", "extended")


def looks_of(columns: Sequence[ServerColumn], times: Collection[str] = ()) -> list[Look]:
    """How to show the columns of a result. ``times`` are the BIGINT columns that hold times."""
    return [Look(column.name, column.type, column.name in times) for column in columns]


def show_rows(
    rows: Rows, times: Collection[str] = (), *, exact: bool | None = None, vertical: bool = False
) -> int:
    """Print the rows of a pull query as a table, or row by row. Returns their number."""
    values = list(rows.values)
    print_rows(looks_of(rows.columns, times), values, exact=exact, vertical=vertical)
    return len(values)


def show_push(
    rows: Rows, times: Collection[str] = (), *, exact: bool | None = None, vertical: bool = False
) -> int:
    """Print rows as they arrive. On a terminal columns grow with their values; in a pipe they do not.

    Starting with the first row that is wider than the terminal, each column is on its own line. Returns the number of
    rows.
    """
    to = console()
    exact = not to.is_terminal if exact is None else exact
    looks = looks_of(rows.columns, times)
    names = [one_line(look.name) for look in looks]
    widths = [max(cell_len(name), _WIDTH) for name in names]
    count, most = 0, to.width if to.is_terminal else None
    vertical = vertical or _is_wider(names, widths, most)
    if not vertical:
        widths = _show_line(names, widths, to.is_terminal)
    for count, values in enumerate(rows.values, 1):
        texts = [_cell(value, look, exact) for value, look in zip(values, looks, strict=True)]
        vertical = vertical or _is_wider(texts, widths, most)
        if vertical:
            print_record(looks, values, count, exact)
        else:
            widths = _show_line(texts, widths, to.is_terminal)
    return count


def _is_wider(texts: Sequence[str], widths: Sequence[int], most: int | None) -> bool:
    """True if a line with these texts is wider than ``most`` characters."""
    needed = (max(width, cell_len(text)) + 2 for text, width in zip(texts, widths, strict=True))
    return most is not None and sum(needed) - 2 > most


def _show_line(texts: Sequence[str], widths: list[int], grows: bool) -> list[int]:
    """Print one line, and return the widths of the next one."""
    if grows:
        widths = [max(w, min(cell_len(text), _WIDEST)) for text, w in zip(texts, widths, strict=True)]
    padded = (text + " " * (width - cell_len(text)) for text, width in zip(texts, widths, strict=True))
    say("  ".join(padded).rstrip())
    return widths


def _cell(value: Any, look: Look, exact: bool) -> str:
    if exact or isinstance(value, list | dict):
        return one_line(exact_text(value))
    return readable.lines(value, look)[0]


def show_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object per line, as rows arrive."""
    for row in rows:
        say_json(row)


def show_reply(reply: Sequence[Mapping[str, Any]]) -> None:
    """Print the reply to SHOW, DESCRIBE or EXPLAIN: single values, then lists, as tables."""
    for entity in reply:
        is_description = entity["@type"] in ("sourceDescription", "queryDescription")
        body = entity[entity["@type"]] if is_description else entity
        single = Table(show_header=False)
        for name, value in body.items():
            if isinstance(value, str | int | float) and value != "" and name not in NOISE:
                single.add_row(shown(name), shown(exact_text(value)))
        if single.rows:
            console().print(single)
        for name, value in sorted(body.items(), key=lambda item: item[0] != "fields"):
            if isinstance(value, dict):
                value = [{"name": key, "value": inner} for key, inner in value.items()]
            if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
                if is_description and name == "fields":
                    value = [_field(item) for item in value]
                elif entity["@type"] == "describe_function":
                    value = [_call(str(body.get("name")), item) for item in value]
                _print_list(name, value)


def _print_list(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    keys = dict.fromkeys(key for row in rows for key in row)
    names = [key for key in keys if key not in NOISE]
    # The name of a row comes first. The first line of a long text, such as a query, is enough.
    names.sort(key=lambda name: name not in ("id", "name"))
    print_list(names, [[_list_cell(row.get(name)) for name in names] for row in rows], title)


def _list_cell(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return exact_text(value).partition("\n")[0]


def _call(function: str, variation: Mapping[str, Any]) -> Mapping[str, Any]:
    """One way to call a function."""
    arguments = variation.get("arguments") or ()
    written = (f"{a.get('name')} {a.get('type')}{' …' if a.get('isVariadic') else ''}" for a in arguments)
    return {
        "call": f"{function}({', '.join(written)})",
        "result": variation.get("returnType"),
        "description": variation.get("description"),
    }


def _field(field: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "name": field["name"],
        "type": type_text(field["schema"]),
        "key": "KEY" if field.get("type") == "KEY" else "",
    }
