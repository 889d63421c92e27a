"""Templates: the SQL of a function in each engine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

PART_OF_TEMPLATE = re.compile(r"\{(\*|[0-9]+\*?)\}|\{\{|\}\}")


class Template(NamedTuple):
    """A function in DuckDB's SQL and in Spark's SQL. None if the engine cannot compute ksqlDB's exact result."""

    duckdb: str | None
    spark: str | None


def both(template: str) -> Template:
    """A function that both engines write in the same way."""
    return Template(template, template)


def fill(template: str, arguments: Sequence[str]) -> str:
    """Insert arguments into a template: ``{0}``, ``{1}`` …, ``{1*}`` for all from number 1 on, ``{*}`` for all.

    Other braces in the template are doubled. Arguments may contain braces, because one pass inserts all of them.
    """

    def part(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        if match[1].endswith("*"):
            return ", ".join(arguments[int(match[1][:-1] or 0) :])
        return arguments[int(match[1])]

    return PART_OF_TEMPLATE.sub(part, template)
