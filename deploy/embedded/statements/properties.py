"""Properties that come with a request, for all of its statements."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.statements.properties import is_known, misfit

PROHIBITED = frozenset({"ksql.service.id"})
"""A client may not set these."""


def check(given: Mapping[str, str], any_name: bool = False) -> None:
    """Raises SqlError for a property that ksqlDB does not have, and for a value that the property cannot have.

    ``any_name``: ignore properties that ksqlDB does not have, as /query-stream does.
    """
    for name, value in given.items():
        if not (any_name or is_known(name)):
            raise SqlError(
                f"Not recognizable as ksql, streams, consumer, or producer property: '{name}'",
                code=50000,
            )
        if reason := misfit(name, value):
            cause = textwrap.fill(f"Caused by: {reason}", 80, subsequent_indent="\t", break_on_hyphens=False)
            raise SqlError(f"Failed to coerce type of value '{value}' for key '{name}'\n{cause}", code=40000)
