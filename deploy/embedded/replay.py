"""The catalog that follows from the statements of a data directory, which an earlier version may have written.

An earlier version may have accepted a statement that this version refuses. Its data must not be lost silently, so
the server does not start then. The user can start the earlier version and drop the stream, table or query of the
statement. After that the statement no longer matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from opensea_metrics.core.errors import OpenSeaMetricsError, SqlError
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.dialect.lexical import summary
from opensea_metrics.sql.language.statements.parser import parse_statement

_DROP = re.compile(
    r"\s*DROP\s+(?:STREAM|TABLE)\s+(?:IF\s+EXISTS\s+)?(?P<name>.+?)(?:\s+DELETE\s+TOPIC)?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TERMINATE = re.compile(r"\s*TERMINATE\s+\S*_(?P<number>[0-9]{1,18})`?\s*;?\s*", re.IGNORECASE)


class Outdated(OpenSeaMetricsError):
    """This version refuses a recorded statement that an earlier version accepted."""


@dataclass(frozen=True)
class _Refused:
    text: str
    error: SqlError
    name: str | None
    """The name that the statement creates. None if the statement cannot be parsed."""

    def is_ended_by(self, drop: str) -> bool:
        """Whether ``DROP STREAM <drop>`` drops the stream or table of this statement."""
        if self.name is None:
            return drop in self.text
        return self.name == (drop[1:-1].replace("``", "`") if drop.startswith("`") else drop.upper())


def replayed(statements: Iterable[tuple[int, str]]) -> Catalog:
    """The catalog after the numbered statements, executed in their order.

    Raises Outdated for a refused statement, unless a later statement ends its source or query.
    """
    catalog = Catalog()
    refused: dict[int, _Refused] = {}
    for number, text in statements:
        name, ends_refused = None, _ends_refused(text, refused)
        try:
            statement = parse_statement(text)
            name = statement.name
            catalog = applied(catalog, statement, number)
        except SqlError as error:
            if not ends_refused:
                refused[number] = _Refused(text, error, name)
    for number, first in refused.items():
        raise Outdated(
            f"an earlier version accepted statement {number} of the data directory ({summary(first.text)}),"
            f" and this version refuses it: {first.error.message}\n"
            "  hint: nothing has been changed or lost. Start the earlier version with this directory and drop what"
            " the statement created (without DELETE TOPIC, to keep the rows). Then start this version again"
        )
    return catalog


def _ends_refused(text: str, refused: dict[int, _Refused]) -> bool:
    """Remove the refused statements whose source or query a statement ends. False if there are none."""
    if drop := _DROP.fullmatch(text):
        ended = [number for number, statement in refused.items() if statement.is_ended_by(drop["name"])]
    elif terminate := _TERMINATE.fullmatch(text):
        ended = [number for number in refused if number == int(terminate["number"])]
    else:
        ended = []
    for number in ended:
        del refused[number]
    return bool(ended)
