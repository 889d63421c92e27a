"""A function as each engine writes it."""

from __future__ import annotations

from typing import NamedTuple


class Template(NamedTuple):
    """A function in DuckDB's SQL and in Spark's; None if the engine cannot give what ksqlDB gives."""

    duckdb: str | None
    spark: str | None


def both(template: str) -> Template:
    """A function that both engines write in the same way."""
    return Template(template, template)
