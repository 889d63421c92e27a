from __future__ import annotations

from sqlglot import exp, generator


class KsqlDBGenerator(generator.Generator):
    """Writes what ksqlDB would read again: other dialects have no ARRAY[…], and a CAST that never fails."""

    def array_sql(self, expression: exp.Array) -> str:
        return f"ARRAY[{self.expressions(expression, flat=True)}]"

    def trycast_sql(self, expression: exp.TryCast) -> str:
        return self.cast_sql(expression)
